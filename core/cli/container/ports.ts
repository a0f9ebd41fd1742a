import { isIP } from 'node:net'
import type { PortMap } from '../../schema/engine-api.js'
import { UsageError } from '../status.js'

interface Range {
  low: number
  high: number
}

const protocols = ['tcp', 'udp', 'sctp']

function range(text: string): Range | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text)
  if (!match) return undefined
  const low = Number(match[1])
  const high = Number(match[2] ?? match[1])
  return low <= 65535 && high <= 65535 && low <= high ? { low, high } : undefined
}

/** Host address, host port and container port of `[ip:][port:]port`; an IPv6 address stands in brackets. */
function parts(text: string): [string, string, string] {
  const bracket = /^\[([^\]]*)\]:([^:]*):([^:]*)$/.exec(text)
  if (bracket) return [bracket[1] as string, bracket[2] as string, bracket[3] as string]
  const pieces = text.split(':')
  if (pieces.length === 1) return ['', '', text]
  if (pieces.length === 2) return ['', pieces[0] as string, pieces[1] as string]
  return [pieces.slice(0, -2).join(':'), pieces.at(-2) as string, pieces.at(-1) as string]
}

function longForm(spec: string): string {
  const field: Record<string, string> = {}
  for (const part of spec.split(',')) {
    const [key = '', value = ''] = part.split('=')
    if (!['protocol', 'mode', 'target', 'published'].includes(key.toLowerCase()))
      throw new UsageError(`invalid field key ${key.toLowerCase()}`)
    field[key.toLowerCase()] = value
  }
  if (!field.target) throw new UsageError(`invalid port specification ${JSON.stringify(spec)}: target is missing`)
  return `${field.published ?? '0'}:${field.target}/${field.protocol ?? 'tcp'}`
}

export function parsePorts(
  publish: readonly string[],
  expose: readonly string[],
): { exposed: Record<string, Record<string, unknown>>; bindings: PortMap } {
  const exposed: Record<string, Record<string, unknown>> = {}
  const bindings: PortMap = {}
  for (const given of publish) {
    const long = given.includes('=')
    const spec = long ? longForm(given) : given
    const slash = spec.lastIndexOf('/')
    const protocol = slash < 0 ? 'tcp' : spec.slice(slash + 1).toLowerCase()
    const [ip, hostPort, containerPort] = parts(slash < 0 ? spec : spec.slice(0, slash))
    if (containerPort === '') throw new UsageError(`no port specified: ${given}<empty>`)
    const inside = range(containerPort)
    if (!inside) throw new UsageError(`invalid containerPort: ${containerPort}`)
    if (ip !== '' && !isIP(ip)) throw new UsageError(`invalid IP address: ${ip}`)
    const free = hostPort === '' || (long && hostPort === '0')
    const outside = free ? undefined : range(hostPort)
    if (!free && !outside) throw new UsageError(`invalid hostPort: ${hostPort}`)
    if (!protocols.includes(protocol)) throw new UsageError(`invalid proto: ${protocol}`)
    const count = inside.high - inside.low
    if (outside && outside.high - outside.low !== count && count > 0) {
      throw new UsageError(`invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`)
    }
    for (let i = 0; i <= count; i++) {
      const port = `${inside.low + i}/${protocol}`
      const host = !outside ? '' : count === 0 && outside.high > outside.low ? `${outside.low}-${outside.high}` : String(outside.low + i)
      exposed[port] = {}
      bindings[port] = [...(bindings[port] ?? []), { HostIp: ip, HostPort: host }]
    }
  }
  for (const spec of expose) exposePort(spec, exposed)
  return { exposed, bindings }
}

function exposePort(spec: string, exposed: Record<string, Record<string, unknown>>): void {
  if (spec.includes(':')) throw new UsageError(`invalid port format for --expose: ${spec}`)
  const [ports = '', protocol = 'tcp'] = spec.split('/')
  const wanted = range(ports)
  if (!wanted)
    throw new UsageError(
      `invalid range format for --expose: ${spec}, error: strconv.ParseUint: parsing ${JSON.stringify(ports)}: invalid syntax`,
    )
  if (!protocols.includes(protocol)) throw new UsageError(`invalid range format for --expose: ${spec}, error: invalid proto: ${protocol}`)
  for (let port = wanted.low; port <= wanted.high; port++) exposed[`${port}/${protocol}`] = {}
}
