/**
 * Another firewall's `ip filter FORWARD` with policy drop (dockerd leaves one behind) overrules our own table: an accept there ends only its own
 * chain. One rule in the foreign chain lets through what our table let through, known by a mark.
 */
import { accessSync, constants, promises as fs } from 'node:fs'
import path from 'node:path'
import { listChains } from './bindings/nft.js'

/** Set by the bridge driver on every packet that its own table lets through. */
export const ACCEPTED_MARK = 0x20000000

/** Runs a program and answers its output; a failure throws. */
export type RunProgram = (argv: string[]) => Promise<string>

export interface ForeignForward {
  /** Which of the two iptables owns the chain. */
  variant: 'nft' | 'legacy'
  /** Where the accept goes: DOCKER-USER where there is one, for Docker keeps what stands there. */
  chain: 'DOCKER-USER' | 'FORWARD'
  /** Whether the accept is there. */
  accepted: boolean
}

function program(...names: string[]): string | undefined {
  for (const name of names) {
    for (const dir of ['/usr/sbin', '/sbin', '/usr/bin', '/usr/local/sbin']) {
      const file = path.join(dir, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        continue
      }
    }
  }
  return undefined
}

/** The program that changes a variant's chains, if it is installed. */
export const iptablesProgram = {
  nft: () => program('iptables-nft', 'iptables'),
  legacy: () => program('iptables-legacy', 'iptables'),
}

export const acceptMark = `0x${ACCEPTED_MARK.toString(16)}/0x${ACCEPTED_MARK.toString(16)}`
export const acceptRule = ['-m', 'mark', '--mark', acceptMark, '-m', 'comment', '--comment', 'tsd', '-j', 'ACCEPT']
const NF_INET_FORWARD = 2

/** Foreign chains that drop what is forwarded, and whether our accept stands in them. Changes nothing. */
export async function foreignForwards(run: RunProgram): Promise<ForeignForward[]> {
  const found: ForeignForward[] = []
  const chains = (await listChains('ip')).filter((chain) => chain.table === 'filter')
  const forward = chains.find((chain) => chain.name === 'FORWARD' && chain.hook === NF_INET_FORWARD)
  if (forward?.policy === 'drop') {
    const chain = chains.some(({ name }) => name === 'DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD'
    found.push({ variant: 'nft', chain, accepted: await accepted('nft', chain, run) })
  }
  // Asking iptables-legacy loads its tables, so it is asked only where they are in use.
  const legacy = await fs.readFile('/proc/net/ip_tables_names', 'utf8').catch(() => '')
  const command = iptablesProgram.legacy()
  if (legacy.split('\n').includes('filter') && command) {
    const rules = (await run([command, '-w', '5', '-S'])).split('\n')
    if (rules.includes('-P FORWARD DROP')) {
      const chain = rules.includes('-N DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD'
      found.push({ variant: 'legacy', chain, accepted: await accepted('legacy', chain, run) })
    }
  }
  return found
}

async function accepted(variant: 'nft' | 'legacy', chain: string, run: RunProgram): Promise<boolean> {
  const command = iptablesProgram[variant]()
  if (!command) return false
  try {
    const rules = await run([command, '-w', '5', '-S', chain])
    return rules.split('\n').some((line) => line.includes(`--mark ${acceptMark}`) && line.endsWith('-j ACCEPT'))
  } catch {
    return false
  }
}
