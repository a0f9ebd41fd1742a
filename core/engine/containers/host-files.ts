import { constants, readFileSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { invalidParameter } from '../../sdk/errors.js'
import type { ShimFile } from '../../sdk/ports.js'
import type { ContainersContext } from './context.js'
import { containerDir } from './context.js'
import type { Container } from './container.js'

export interface HostFiles {
  hosts: string
  hostname: string
  resolvConf: string
}

export const hostFilePaths = (ctx: ContainersContext, id: string): HostFiles => {
  const dir = containerDir(ctx, id)
  return { hosts: `${dir}/hosts`, hostname: `${dir}/hostname`, resolvConf: `${dir}/resolv.conf` }
}

let cachedResolv: { at: number; text: string } | undefined
const resolvConfMs = 1_000

/** Read at most once a second: it is asked for at every start and seldom changes. */
function hostResolvConf(): string {
  const now = Date.now()
  if (cachedResolv && now - cachedResolv.at < resolvConfMs) return cachedResolv.text
  let text = ''
  try {
    text = readFileSync('/etc/resolv.conf', 'utf8')
  } catch {
    // A host without one resolves nothing; its containers get the default servers.
  }
  cachedResolv = { at: now, text }
  return text
}

const standardHosts = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
]

/** `name:address` pairs; `host-gateway` is the address of the default bridge. */
function extraHosts(pairs: string[], gateway: string): string[] {
  return pairs.map((pair) => {
    const colon = pair.indexOf(':')
    const address = pair.slice(colon + 1)
    return `${address === 'host-gateway' ? gateway : address}\t${pair.slice(0, colon)}`
  })
}

/** The host's resolv.conf for a container: options of the container or daemon win, loopback servers are useless inside. */
export function resolvConf(host: string, wanted: { dns: string[]; search: string[]; options: string[] }, ownNetns: boolean): string {
  const lines = host.split('\n').map((line) => line.trim())
  const values = (keyword: string): string[] =>
    lines.filter((line) => line.startsWith(`${keyword} `) || line.startsWith(`${keyword}\t`)).flatMap((line) => line.split(/\s+/).slice(1))
  let servers = wanted.dns
  if (servers.length === 0) {
    servers = values('nameserver').filter((address) => !ownNetns || !(address.startsWith('127.') || address === '::1'))
    if (servers.length === 0 && ownNetns) servers = ['8.8.8.8', '8.8.4.4']
  }
  const search = wanted.search.length > 0 ? wanted.search.filter((domain) => domain !== '.') : values('search')
  const options = wanted.options.length > 0 ? wanted.options : values('options')
  const out = servers.map((address) => `nameserver ${address}`)
  if (search.length > 0) out.push(`search ${search.join(' ')}`)
  if (options.length > 0) out.push(`options ${options.join(' ')}`)
  return `${out.join('\n')}\n`
}

const firstOf = (...lists: (string[] | null | undefined)[]): string[] => lists.find((list) => list && list.length > 0) ?? []

/** hostname and resolv.conf, which depend on no address. */
export function nameFiles(ctx: ContainersContext, container: Container): ShimFile[] {
  const { config, hostConfig } = container.record
  const files = hostFilePaths(ctx, container.id)
  const wanted = {
    dns: firstOf(hostConfig.Dns, ctx.config.dns),
    search: firstOf(hostConfig.DnsSearch, ctx.config.dnsSearch),
    options: firstOf(hostConfig.DnsOptions, ctx.config.dnsOptions),
  }
  return [
    { path: files.hostname, content: `${config.Hostname ?? ''}\n` },
    { path: files.resolvConf, content: resolvConf(hostResolvConf(), wanted, hostConfig.NetworkMode !== 'host') },
  ]
}

/** The container's own names at its addresses. */
function ownLines(container: Container, addresses: readonly string[]): string[] {
  const { Hostname: hostname = '', Domainname: domain } = container.record.config
  return addresses.map((address) => `${address}\t${domain ? `${hostname}.${domain} ` : ''}${hostname}`)
}

/** A container that writes more than this into its own hosts file keeps it as it is. */
const mostHosts = 1 << 20

/** Lines of a running container's hosts file. In place, because the file is bound into the container, which may have written to it. */
export async function changeHosts(
  ctx: ContainersContext,
  container: Container,
  change: { add: readonly string[]; remove: readonly string[] },
): Promise<void> {
  if (change.add.length + change.remove.length === 0) return
  const path = hostFilePaths(ctx, container.id).hosts
  await rewriteInPlace(path, (text) => {
    const gone = new Set(ownLines(container, change.remove))
    const lines = text.split('\n').filter((line) => !gone.has(line))
    while (lines.at(-1) === '') lines.pop()
    return `${[...lines, ...ownLines(container, change.add)].join('\n')}\n`
  })
}

async function rewriteInPlace(path: string, change: (text: string) => string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const { size } = await file.stat()
    if (size > mostHosts) throw invalidParameter(`${path} has ${size} bytes: it is left as it is`)
    const buffer = Buffer.alloc(size)
    const { bytesRead } = await file.read(buffer, 0, size, 0)
    const text = buffer.toString('utf8', 0, bytesRead)
    const changed = change(text)
    if (changed === text) return
    await file.write(changed, 0)
    await file.truncate(Buffer.byteLength(changed))
  } finally {
    await file.close()
  }
}

/** hosts, once the container's addresses are known. */
export async function hostsFile(
  ctx: ContainersContext,
  container: Container,
  network: { addresses: string[]; gateway: string; ownNetns: boolean },
): Promise<ShimFile> {
  const { hostConfig } = container.record
  const base = network.ownNetns
    ? standardHosts
    : (await readFile('/etc/hosts', 'utf8').catch(() => standardHosts.join('\n'))).trimEnd().split('\n')
  const hosts = [
    ...base,
    ...extraHosts(hostConfig.ExtraHosts ?? [], network.gateway || '127.0.0.1'),
    ...ownLines(container, network.addresses),
  ]
  return { path: hostFilePaths(ctx, container.id).hosts, content: `${hosts.join('\n')}\n` }
}
