import { hostPart } from './endpoints.js'

/** The variables that other programs on the machine obey, upper or lower case. */
export type ProxyEnvironment = Record<string, string | undefined>

const of = (environment: ProxyEnvironment, name: string): string => environment[name] || environment[name.toLowerCase()] || ''

/** `NO_PROXY`: host, .domain, host:port, or *. */
function excepted(list: string, url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const [, wanted = '443'] = /:(\d+)$/.exec(entry) ?? []
      if (/[^\]]:\d+$|\]:\d+$/.test(entry) && wanted !== port) return false
      const name = hostPart(entry)
        .toLowerCase()
        .replace(/^\*?\./, '')
      return host === name || host.endsWith(`.${name}`)
    })
}

/** The proxy for a URL; undefined: none. Loopback is never asked through one. */
export function proxyFor(url: URL, environment: ProxyEnvironment): string | undefined {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (host === 'localhost' || host === '::1' || /^127\./.test(host)) return undefined
  const proxy = of(environment, url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY')
  if (proxy === '' || excepted(of(environment, 'NO_PROXY'), url)) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}
