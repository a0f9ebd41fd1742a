import type { ContainerConfig, HostConfig } from '../../schema/engine-api.js'
import { invalidParameter } from '../../sdk/errors.js'
import type { PortRequest } from '../networks/index.js'

/** `80`, `80/udp`, `8000-8010/tcp` to single ports with protocol. */
export function expandPort(spec: string): { protocol: PortRequest['protocol']; port: number }[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-zA-Z]+))?$/.exec(spec)
  if (!match?.[1]) throw invalidParameter(`invalid port specification: "${spec}"`)
  const protocol = (match[3] ?? 'tcp').toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') throw invalidParameter(`invalid proto: ${protocol}`)
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  if (first < 1 || last > 65535 || last < first) throw invalidParameter(`invalid containerPort: ${spec}`)
  return Array.from({ length: last - first + 1 }, (_, i) => ({ protocol, port: first + i }))
}

export function exposedPorts(config: ContainerConfig, hostConfig: HostConfig): string[] {
  const specs = [...Object.keys(config.ExposedPorts ?? {}), ...Object.keys(hostConfig.PortBindings ?? {})]
  const keys = specs.flatMap(expandPort).map(({ protocol, port }) => `${port}/${protocol}`)
  return [...new Set(keys)]
}

function hostPortRange(text: string, spec: string): { start: number; end: number } {
  if (text === '') return { start: 0, end: 0 }
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const start = Number(match?.[1])
  const end = Number(match?.[2] ?? match?.[1])
  if (!match || start > 65535 || end > 65535 || end < start) throw invalidParameter(`invalid port specification: "${text}" for ${spec}`)
  return { start, end }
}

/** What to publish, from PortBindings and PublishAllPorts. */
export function publishedPorts(config: ContainerConfig, hostConfig: HostConfig): PortRequest[] {
  const requests: PortRequest[] = []
  for (const [spec, bindings] of Object.entries(hostConfig.PortBindings ?? {})) {
    for (const { protocol, port } of expandPort(spec)) {
      for (const binding of bindings ?? []) {
        const { start, end } = hostPortRange(binding.HostPort ?? '', spec)
        requests.push({ protocol, containerPort: port, hostIp: binding.HostIp ?? '', hostPortStart: start, hostPortEnd: end })
      }
      if (bindings !== null && bindings.length === 0)
        requests.push({ protocol, containerPort: port, hostIp: '', hostPortStart: 0, hostPortEnd: 0 })
    }
  }
  if (hostConfig.PublishAllPorts) {
    const bound = new Set(requests.map((r) => `${r.containerPort}/${r.protocol}`))
    for (const key of exposedPorts(config, hostConfig)) {
      const [one] = expandPort(key)
      if (one && !bound.has(key))
        requests.push({ protocol: one.protocol, containerPort: one.port, hostIp: '', hostPortStart: 0, hostPortEnd: 0 })
    }
  }
  return requests
}
