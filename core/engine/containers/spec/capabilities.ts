import { CAPABILITIES } from '../../../base/capabilities.js'
import { invalidParameter } from '../../../sdk/errors.js'

/** What a container holds unless asked otherwise. */
export const DEFAULT_CAPABILITIES =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`)

const known = new Set(CAPABILITIES)

/** `net_admin`, `CAP_NET_ADMIN` -> `CAP_NET_ADMIN`; `ALL` stays. */
export function normaliseCapabilities(names: readonly string[] | null | undefined, field: 'CapAdd' | 'CapDrop'): string[] {
  return (names ?? []).map((name) => {
    const upper = name.toUpperCase()
    if (upper === 'ALL') return upper
    const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
    if (!known.has(full)) throw invalidParameter(`invalid ${field}: unknown capability: "${full}"`)
    return full
  })
}

/** Docker's rule: ALL first, then the names; what the daemon does not hold cannot be given. */
export function effectiveCapabilities(
  request: { privileged: boolean; add?: readonly string[] | null; drop?: readonly string[] | null },
  held: readonly string[],
): string[] {
  if (request.privileged) return [...held]
  const add = normaliseCapabilities(request.add, 'CapAdd')
  const drop = normaliseCapabilities(request.drop, 'CapDrop')
  if (add.length === 0 && drop.length === 0) return [...DEFAULT_CAPABILITIES]
  const dropAll = drop.includes('ALL')
  const kept = add.includes('ALL')
    ? held.filter((name) => dropAll || !drop.includes(name))
    : dropAll
      ? []
      : DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name))
  if (add.includes('ALL')) return [...kept]
  const result = new Set(kept)
  for (const name of add) result.add(name)
  return [...result]
}
