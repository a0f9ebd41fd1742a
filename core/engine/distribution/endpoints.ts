import dns from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import type { EngineConfig } from '../ports/index.js'

/** Where a registry is asked, and how far it is trusted. */
export interface Endpoint {
  /** Origin, and a path for some mirrors; no slash at the end. */
  url: string
  /** HOST[:PORT], as the directory of its certificates is named. */
  host: string
  /** Speaks for Docker Hub, and gets no credentials of it. */
  mirror: boolean
  /** TLS without a check of the certificate: an insecure registry. */
  unverified: boolean
}

export type RegistrySettings = Pick<EngineConfig, 'registryMirrors' | 'insecureRegistries'>

const hubDomain = 'docker.io'
const hubHost = 'registry-1.docker.io'

export const hostPart = (authority: string): string => authority.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')

function blockOf(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', prefix = ''] = range.split('/')
    list.addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

const inBlock = (list: BlockList, address: string): boolean => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

const loopback = blockOf(['127.0.0.0/8', '::1/128'])

/** Loopback, listed by name, or with an address in a listed range. */
async function isInsecure(authority: string, insecure: readonly string[]): Promise<boolean> {
  const host = hostPart(authority)
  if (host === 'localhost' || (isIP(host) !== 0 && inBlock(loopback, host))) return true
  if (insecure.some((one) => one === authority || one === host)) return true
  const ranges = insecure.filter((one) => one.includes('/'))
  if (ranges.length === 0) return false
  const list = blockOf(ranges)
  const addresses = isIP(host) === 0 ? await dns.lookup(host, { all: true }).catch(() => []) : [{ address: host }]
  return addresses.some(({ address }) => inBlock(list, address))
}

/** Where a domain is asked, in order. `hasCertificates`: a registry that was given any is to be verified by them, even on loopback. */
export async function endpointsOf(
  domain: string,
  settings: RegistrySettings,
  hasCertificates: (host: string) => Promise<boolean>,
): Promise<Endpoint[]> {
  const one = async (host: string): Promise<Endpoint[]> => {
    const url = `https://${host}`
    if ((await hasCertificates(host)) || !(await isInsecure(host, settings.insecureRegistries)))
      return [{ url, host, mirror: false, unverified: false }]
    return [
      { url, host, mirror: false, unverified: true },
      { url: `http://${host}`, host, mirror: false, unverified: true },
    ]
  }
  if (domain !== hubDomain) return one(domain)
  const mirrors: Endpoint[] = []
  for (const mirror of settings.registryMirrors) {
    const { host } = new URL(mirror)
    const unverified = !(await hasCertificates(host)) && (await isInsecure(host, settings.insecureRegistries))
    mirrors.push({ url: mirror, host, mirror: true, unverified })
  }
  return [...mirrors, ...(await one(hubHost))]
}
