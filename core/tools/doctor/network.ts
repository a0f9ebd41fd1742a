import { listChains, listTables } from '../../../native/index.js'
import { messageOf } from '../../sdk/errors.js'
import type { Finding, Machine } from './finding.js'
import { finding, yes } from './finding.js'

const hookForward = 2

export async function networkFindings(machine: Machine): Promise<Finding[]> {
  return [...links(machine), await nftables(machine), await forwardDrop(machine), forwarding(machine)]
}

function links(machine: Machine): Finding[] {
  const unshare = machine.program('unshare')
  const ip = machine.program('ip')
  return (['bridge', 'veth'] as const).map((type) => {
    const way = `modprobe ${type}; the host network driver (--network host) needs none`
    if (machine.root && unshare && ip) {
      const ok = machine.run(unshare, ['-n', ip, 'link', 'add', 'tsddoctor', 'type', type]).status === 0
      return finding(type, 'network bridge', yes(ok), ok ? 'made one in a network namespace of its own' : 'cannot be made', way)
    }
    const seen = machine.exists(`/sys/module/${type}`) || inKernel(machine, type)
    return finding(type, 'network bridge', seen ? 'works' : 'unproven', seen ? 'in the kernel' : 'could not be tried', way)
  })
}

function inKernel(machine: Machine, module: string): boolean {
  const release = (machine.read('/proc/sys/kernel/osrelease') ?? '').trim()
  return ['modules.builtin', 'modules.dep'].some((file) =>
    (machine.read(`/lib/modules/${release}/${file}`) ?? '').includes(`/${module}.ko`),
  )
}

async function nftables(machine: Machine): Promise<Finding> {
  const matters = 'network bridge: published ports, masquerade'
  const way = 'modprobe nf_tables nft_chain_nat; the nft program is not needed'
  if (!machine.root) return finding('nftables', matters, 'unproven', 'needs root to ask', "'sudo tsd doctor'")
  const program = machine.program('nft') ? '' : ' (no nft program; it is only for looking)'
  try {
    const tables = await listTables()
    return finding('nftables', matters, 'works', `answers by netlink, ${tables.length} tables${program}`)
  } catch (error) {
    return finding('nftables', matters, 'missing', messageOf(error), way)
  }
}

/** Somebody else's policy applies to forwarded packets beside ours: a drop anywhere is a drop. */
async function forwardDrop(machine: Machine): Promise<Finding> {
  const check = 'foreign FORWARD drop'
  const matters = 'network bridge: published ports from outside'
  const way = 'the bridge driver puts a marked accept in front of it (DOCKER-USER first); by hand: iptables -P FORWARD ACCEPT'
  if (!machine.root) return finding(check, matters, 'unproven', 'needs root to ask', "'sudo tsd doctor'")
  const found: string[] = []
  try {
    for (const { family, table, name, hook, policy } of await listChains()) {
      if (policy === 'drop' && hook === hookForward && family !== 'bridge' && !table.startsWith('tsd'))
        found.push(`${family} ${table} ${name}`)
    }
  } catch {
    // Without nftables there can be legacy tables still.
  }
  for (const [file, command] of [
    ['/proc/net/ip_tables_names', 'iptables-legacy-save'],
    ['/proc/net/ip6_tables_names', 'ip6tables-legacy-save'],
  ] as const) {
    const program = /^filter$/m.test(machine.read(file) ?? '') ? machine.program(command) : undefined
    if (program && /^:FORWARD DROP/m.test(machine.run(program, ['-t', 'filter']).output))
      found.push(`${command.replace('-save', '')} FORWARD`)
  }
  if (found.length === 0) return finding(check, matters, 'works', 'none')
  return { ...finding(check, matters, 'unproven', `policy drop in ${found.join(', ')}`, way) }
}

function forwarding(machine: Machine): Finding {
  const on = machine.read('/proc/sys/net/ipv4/ip_forward')?.trim() === '1'
  const writable = machine.exists('/proc/sys/net/ipv4/ip_forward')
  return finding(
    'ip_forward',
    'network bridge',
    yes(writable),
    on ? 'on' : 'off; the bridge driver turns it on',
    'a kernel with IPv4 routing',
  )
}
