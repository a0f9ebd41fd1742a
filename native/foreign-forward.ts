/**
 * Another firewall's `ip filter FORWARD`, or its twin of ip6, with policy drop (dockerd leaves one behind) overrules our own table: an accept there ends only its own
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
  family: 'ip' | 'ip6'
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

/** The program that changes a variant's chains of a family, if it is installed. */
export function iptablesProgram({ family, variant }: Pick<ForeignForward, 'family' | 'variant'>): string | undefined {
  const name = `${family}tables`
  return program(`${name}-${variant}`, name)
}

export const acceptMark = `0x${ACCEPTED_MARK.toString(16)}/0x${ACCEPTED_MARK.toString(16)}`
export const acceptRule = ['-m', 'mark', '--mark', acceptMark, '-m', 'comment', '--comment', 'tsd', '-j', 'ACCEPT']
const NF_INET_FORWARD = 2

/** Foreign chains that drop what is forwarded, and whether our accept stands in them. Changes nothing. */
export async function foreignForwards(run: RunProgram): Promise<ForeignForward[]> {
  const found: ForeignForward[] = []
  for (const family of ['ip', 'ip6'] as const) {
    const chains = (await listChains(family)).filter((chain) => chain.table === 'filter')
    const forward = chains.find((chain) => chain.name === 'FORWARD' && chain.hook === NF_INET_FORWARD)
    if (forward?.policy === 'drop') {
      const chain = chains.some(({ name }) => name === 'DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD'
      found.push(await looked({ family, variant: 'nft', chain }, run))
    }
    // Asking iptables-legacy loads its tables, so it is asked only where they are in use.
    const legacy = await fs.readFile(`/proc/net/${family}_tables_names`, 'utf8').catch(() => '')
    const command = iptablesProgram({ family, variant: 'legacy' })
    if (legacy.split('\n').includes('filter') && command) {
      const rules = (await run([command, '-w', '5', '-S'])).split('\n')
      if (!rules.includes('-P FORWARD DROP')) continue
      found.push(await looked({ family, variant: 'legacy', chain: rules.includes('-N DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD' }, run))
    }
  }
  return found
}

async function looked(place: Omit<ForeignForward, 'accepted'>, run: RunProgram): Promise<ForeignForward> {
  const command = iptablesProgram(place)
  if (!command) return { ...place, accepted: false }
  try {
    const rules = (await run([command, '-w', '5', '-S', place.chain])).split('\n')
    return { ...place, accepted: rules.some((line) => line.includes(`--mark ${acceptMark}`) && line.endsWith('-j ACCEPT')) }
  } catch {
    return { ...place, accepted: false }
  }
}
