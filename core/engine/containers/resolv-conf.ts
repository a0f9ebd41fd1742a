import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { UpstreamServer } from '../names/index.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'

/** Where a container of a user network asks for names: rules in its network lead from there to the engine. */
const OWN_SERVER = '127.0.0.11'
/** For a host that names none which a container could reach. */
const fallbackServers = ['8.8.8.8', '8.8.4.4']

export interface Resolving {
  servers: string[]
  search: string[]
  options: string[]
}

let cached: { at: number; text: string } | undefined
const resolvConfMs = 1_000

/** Read at most once a second: it is asked for at every start and seldom changes. */
function hostResolvConf(): string {
  const now = Date.now()
  if (cached && now - cached.at < resolvConfMs) return cached.text
  let text = ''
  try {
    text = readFileSync('/etc/resolv.conf', 'utf8')
  } catch {
    // A host without one resolves nothing; its containers get the default servers.
  }
  cached = { at: now, text }
  return text
}

export function parseResolvConf(text: string): Resolving {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const values = (keyword: string): string[] => lines.filter(([first]) => first === keyword).flatMap((line) => line.slice(1))
  return { servers: values('nameserver'), search: values('search'), options: values('options') }
}

const isLoopback = (address: string): boolean => address.startsWith('127.') || address === '::1'

function format({ servers, search, options }: Resolving): string {
  const out = servers.map((address) => `nameserver ${address}`)
  if (search.length > 0) out.push(`search ${search.join(' ')}`)
  if (options.length > 0) out.push(`options ${options.join(' ')}`)
  return `${out.join('\n')}\n`
}

/** What was asked for goes before what the host has, list by list. */
function merged(host: Resolving, wanted: Resolving): Resolving {
  return {
    servers: wanted.servers.length > 0 ? wanted.servers : host.servers,
    search: wanted.search.length > 0 ? wanted.search.filter((domain) => domain !== '.') : host.search,
    options: wanted.options.length > 0 ? wanted.options : host.options,
  }
}

/** The host's resolv.conf for a container: options of the container or daemon win, loopback servers are useless inside. */
export function resolvConf(host: string, wanted: Resolving, ownNetns: boolean): string {
  const all = merged(parseResolvConf(host), wanted)
  if (!ownNetns || wanted.servers.length > 0) return format(all)
  const servers = all.servers.filter((address) => !isLoopback(address))
  return format({ ...all, servers: servers.length > 0 ? servers : fallbackServers })
}

const ndotsOf = (options: readonly string[]): string | undefined => options.findLast((option) => option.startsWith('ndots:'))?.slice(6)

/** For a container whose names the engine resolves. Names without dots are its networks' own: they are asked for as they are. */
export function ownResolvConf(host: string, wanted: Resolving): string {
  const { search, options } = merged(parseResolvConf(host), wanted)
  return format({ servers: [OWN_SERVER], search, options: ndotsOf(options) === undefined ? [...options, 'ndots:0'] : options })
}

export interface Outside {
  upstream: UpstreamServer[]
  keepSingleLabels: boolean
}

/** Whom the engine asks for names that it does not know. A loopback server of the host's file is reached from the host. */
export function outside(host: string, wanted: Resolving): Outside {
  const { servers, options } = merged(parseResolvConf(host), wanted)
  const ofHost = wanted.servers.length === 0
  // An address with a zone means a link that only the host has.
  const usable = servers.filter((address) => isIP(address) !== 0 && !address.includes('%'))
  const known = usable.length > 0 ? usable : fallbackServers
  return {
    upstream: known.map((address) => ({ address, fromHost: ofHost && isLoopback(address) })),
    keepSingleLabels: Number(ndotsOf(options) ?? 0) > 0,
  }
}

const firstOf = (...lists: (string[] | null | undefined)[]): string[] => lists.find((list) => list && list.length > 0) ?? []

function wantedBy(ctx: ContainersContext, { record: { hostConfig } }: Container): Resolving {
  return {
    servers: firstOf(hostConfig.Dns, ctx.config.dns),
    search: firstOf(hostConfig.DnsSearch, ctx.config.dnsSearch),
    options: firstOf(hostConfig.DnsOptions, ctx.config.dnsOptions),
  }
}

export function resolvConfOf(ctx: ContainersContext, container: Container, options: { ownServer: boolean }): string {
  const wanted = wantedBy(ctx, container)
  return options.ownServer
    ? ownResolvConf(hostResolvConf(), wanted)
    : resolvConf(hostResolvConf(), wanted, container.record.hostConfig.NetworkMode !== 'host')
}

export const outsideOf = (ctx: ContainersContext, container: Container): Outside => outside(hostResolvConf(), wantedBy(ctx, container))
