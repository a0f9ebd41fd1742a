import { invalidParameter, type NetOp } from 'tsd-engine/sdk'

const ENDPOINT = 'com.docker.network.endpoint.'
const SYSCTLS = `${ENDPOINT}sysctls`
/** Told by the engine, which gives the interface its name. */
const engineOptions = [`${ENDPOINT}name`, `${ENDPOINT}ifname`]
/** What an interface alone has: everything else belongs to the whole sandbox. The docker CLI sends small letters. */
const perInterface = /^net\.(ipv4|ipv6)\.(conf|neigh)\.IFNAME\.[a-z0-9_]+$|^net\.mpls\.conf\.IFNAME\.[a-z0-9_]+$/i

/** `net.ipv4.conf.IFNAME.log_martians=1`, separated by commas. */
function parseSysctls(text: string): { key: string; value: string }[] {
  return text.split(',').flatMap((part) => {
    if (part.trim() === '') return []
    const at = part.indexOf('=')
    const key = part.slice(0, at).trim()
    const value = part.slice(at + 1).trim()
    if (at < 0 || !perInterface.test(key) || !/^-?\d{1,20}$/.test(value)) {
      throw invalidParameter(
        `endpoint option ${SYSCTLS}: ${JSON.stringify(part)} is not a setting of one interface, such as net.ipv4.conf.IFNAME.log_martians=1`,
      )
    }
    return [{ key, value }]
  })
}

export function checkEndpointOptions(options: Record<string, string>): void {
  for (const [key, value] of Object.entries(options)) {
    if (key === SYSCTLS) parseSysctls(value)
    else if (!engineOptions.includes(key)) {
      throw invalidParameter(`endpoint option ${key} is not known to the bridge driver; it knows ${SYSCTLS} and ${ENDPOINT}ifname`)
    }
  }
}

/** Slashes, because a name may have dots in it. */
export function interfaceSysctls(options: Record<string, string>, interfaceName: string): NetOp[] {
  return parseSysctls(options[SYSCTLS] ?? '').map(({ key, value }) => ({
    op: 'sysctl',
    key: key
      .split('.')
      .map((part) => (part.toUpperCase() === 'IFNAME' ? interfaceName : part))
      .join('/'),
    value,
  }))
}
