import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { invalidParameter } from '../../sdk/errors.js'
import type { ShimFile } from '../../sdk/ports.js'
import type { ContainersContext } from './context.js'
import { containerDir } from './context.js'
import type { Container } from './container.js'
import { resolvConfOf } from './resolv-conf.js'

export interface HostFiles {
  hosts: string
  hostname: string
  resolvConf: string
}

export const hostFilePaths = (ctx: ContainersContext, id: string): HostFiles => {
  const dir = containerDir(ctx, id)
  return { hosts: `${dir}/hosts`, hostname: `${dir}/hostname`, resolvConf: `${dir}/resolv.conf` }
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

/** hostname and resolv.conf, which depend on no address. */
export function nameFiles(ctx: ContainersContext, container: Container, options: { ownServer: boolean }): ShimFile[] {
  const files = hostFilePaths(ctx, container.id)
  return [
    { path: files.hostname, content: `${container.record.config.Hostname ?? ''}\n` },
    { path: files.resolvConf, content: resolvConfOf(ctx, container, options) },
  ]
}

/** A file that the container has changed is its own. */
export async function replaceResolvConf(ctx: ContainersContext, container: Container, before: string, after: string): Promise<void> {
  await rewriteInPlace(hostFilePaths(ctx, container.id).resolvConf, (text) => (text === before ? after : text))
}

/** The container's own names at its addresses. */
function ownLines(container: Container, addresses: readonly string[]): string[] {
  const { Hostname: hostname = '', Domainname: domain } = container.record.config
  return addresses.map((address) => `${address}\t${domain ? `${hostname}.${domain} ` : ''}${hostname}`)
}

/** A container that writes more than this into such a file keeps it as it is. */
const mostBytes = 1 << 20

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
    if (size > mostBytes) throw invalidParameter(`${path} has ${size} bytes: it is left as it is`)
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
