import type { SystemInfo, SystemVersion } from '../../schema/engine-api.js'
import { formatBinarySize } from '../../base/sizes.js'
import { apiVersion } from '../engine.js'
import { inspectFormatFlag } from '../format/option.js'
import { printRendered, templateOf } from '../format/template.js'
import { cliVersion } from '../version.js'
import { ExitStatus, messageOf } from '../status.js'
import type { Verb } from '../verb.js'

async function printFormatted(format: string, value: unknown): Promise<void> {
  if (format === 'json') return void process.stdout.write(`${JSON.stringify(value)}\n`)
  printRendered(await templateOf(format), value)
}

const goDate = (text: string): string => {
  const date = new Date(text)
  return Number.isNaN(date.getTime())
    ? text
    : date
        .toUTCString()
        .replace(
          /^(\w+), (\d+) (\w+) (\d+) (\S+) GMT$/,
          (_, w: string, d: string, m: string, y: string, t: string) => `${w} ${m} ${d.replace(/^0/, ' ')} ${t} ${y}`,
        )
}

export const version: Verb = {
  name: 'version',
  usage: '[OPTIONS]',
  summary: 'Show the tsd version information',
  flags: [inspectFormatFlag],
  args: [0, 0],
  async run({ values, engine }) {
    const own = cliVersion()
    const client = {
      Platform: { Name: '' },
      Version: own,
      ApiVersion: apiVersion,
      DefaultAPIVersion: apiVersion,
      Os: process.platform,
      Arch: archOf(),
      NodeVersion: process.version,
      Context: 'default',
    }
    let server: SystemVersion | undefined
    let failure: unknown
    try {
      server = await engine.get<SystemVersion>('/version')
    } catch (error) {
      failure = error
    }
    const format = values.string('format')
    if (format !== '') {
      await printFormatted(format, { Client: client, Server: server ?? null })
    } else {
      const lines = [
        'Client:',
        ` Version:           ${own}`,
        ` API version:       ${engine.apiVersion}`,
        ` Node version:      ${process.version}`,
        ` OS/Arch:           linux/${archOf()}`,
      ]
      if (server) lines.push(...serverLines(server))
      process.stdout.write(lines.join('\n') + '\n')
    }
    if (failure !== undefined) throw new ExitStatus(1, messageOf(failure))
  },
}

const archOf = (): string => ({ x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386' })[process.arch as string] ?? process.arch

function serverLines(server: SystemVersion): string[] {
  const name = server.Platform?.Name ? ` ${server.Platform.Name}` : ''
  const lines = ['', `Server:${name}`]
  for (const component of server.Components ?? []) {
    lines.push(` ${component.Name}:`)
    const details = (component.Details ?? {}) as Record<string, string>
    const row = (label: string, value: string | undefined) => lines.push(`  ${`${label}:`.padEnd(18)}${value ?? ''}`)
    row('Version', component.Version)
    if (component.Name !== 'Engine') {
      for (const key of Object.keys(details).sort()) row(key, details[key])
      continue
    }
    row('API version', `${details.ApiVersion} (minimum version ${details.MinAPIVersion})`)
    if (details.GoVersion) row('Go version', details.GoVersion)
    if (details.NodeVersion) row('Node version', details.NodeVersion)
    row('Git commit', details.GitCommit)
    row('Built', goDate(details.BuildTime ?? ''))
    row('OS/Arch', `${details.Os}/${details.Arch}`)
    row('Experimental', details.Experimental)
  }
  return lines
}

export const info: Verb = {
  name: 'info',
  usage: '[OPTIONS]',
  summary: 'Display system-wide information',
  aliases: ['system info', 'info'],
  flags: [inspectFormatFlag],
  args: [0, 0],
  async run({ values, engine }) {
    const format = values.string('format')
    let answer: SystemInfo | undefined
    let failure: unknown
    try {
      answer = await engine.get<SystemInfo>('/info')
    } catch (error) {
      failure = error
    }
    const client = { Debug: false, Version: cliVersion(), Context: 'default' }
    if (format !== '') {
      await printFormatted(format, {
        ...(answer ?? {}),
        ...(failure === undefined ? {} : { ServerErrors: [messageOf(failure)] }),
        ClientInfo: client,
      })
    } else {
      const lines = [
        'Client:',
        ` Version:    ${client.Version}`,
        ` Context:    ${client.Context}`,
        ` Debug Mode: false`,
        '',
        'Server:',
        ...(answer ? infoLines(answer) : []),
      ]
      process.stdout.write(lines.join('\n') + '\n')
      for (const warning of answer?.Warnings ?? []) process.stderr.write(`${warning}\n`)
    }
    if (failure !== undefined) throw new ExitStatus(1, messageOf(failure))
  },
}

function infoLines(info: SystemInfo): string[] {
  const lines: string[] = []
  const row = (label: string, value: unknown, indent = 1) =>
    value !== undefined && value !== '' && lines.push(`${' '.repeat(indent)}${label}: ${String(value)}`)
  const list = (label: string, values: readonly string[]) => lines.push(` ${label}:`, ...values.map((value) => `  ${value}`))
  row('Containers', info.Containers)
  row('Running', info.ContainersRunning, 2)
  row('Paused', info.ContainersPaused, 2)
  row('Stopped', info.ContainersStopped, 2)
  row('Images', info.Images)
  row('Server Version', info.ServerVersion)
  row('Storage Driver', info.Driver)
  for (const pair of info.DriverStatus ?? []) lines.push(`  ${(pair as string[])[0]}: ${(pair as string[])[1]}`)
  row('Logging Driver', info.LoggingDriver)
  row('Cgroup Driver', info.CgroupDriver)
  row('Cgroup Version', info.CgroupVersion)
  lines.push(' Plugins:')
  for (const kind of ['Volume', 'Network', 'Authorization', 'Log'] as const) {
    const names = info.Plugins?.[kind]
    if (names && names.length > 0) lines.push(`  ${kind}: ${names.join(' ')}`)
  }
  row('Swarm', info.Swarm?.LocalNodeState)
  lines.push(
    ` Runtimes: ${Object.keys(info.Runtimes ?? {})
      .sort()
      .join(' ')}`,
  )
  row('Default Runtime', info.DefaultRuntime)
  row('Init Binary', info.InitBinary)
  row('containerd version', info.ContainerdCommit?.ID)
  row('runc version', info.RuncCommit?.ID)
  row('init version', info.InitCommit?.ID)
  if (info.SecurityOptions?.length) {
    lines.push(' Security Options:')
    for (const option of info.SecurityOptions) securityOption(option, lines)
  }
  row('Kernel Version', info.KernelVersion)
  row('Operating System', info.OperatingSystem)
  row('OSType', info.OSType)
  row('Architecture', info.Architecture)
  row('CPUs', info.NCPU)
  row('Total Memory', formatBinarySize(info.MemTotal ?? 0))
  row('Name', info.Name)
  row('ID', info.ID)
  row('Docker Root Dir', info.DockerRootDir)
  row('Debug Mode', info.Debug)
  if (info.Debug) {
    row('File Descriptors', info.NFd, 2)
    row('Goroutines', info.NGoroutines, 2)
    row('System Time', info.SystemTime, 2)
    row('EventsListeners', info.NEventsListener, 2)
  }
  row('HTTP Proxy', info.HttpProxy)
  row('HTTPS Proxy', info.HttpsProxy)
  row('No Proxy', info.NoProxy)
  if (info.Labels?.length) list('Labels', info.Labels)
  row('Experimental', info.ExperimentalBuild)
  const insecure = info.RegistryConfig?.InsecureRegistryCIDRs ?? []
  if (insecure.length > 0) list('Insecure Registries', insecure)
  row('Live Restore Enabled', info.LiveRestoreEnabled)
  return [...lines, '']
}

/** `name=seccomp,profile=builtin` becomes a name and indented settings. */
function securityOption(option: string, lines: string[]): void {
  const fields = option.split(',').map((field) => field.split('=', 2) as [string, string?])
  const name = fields.find(([key]) => key === 'name')?.[1] ?? option
  lines.push(`  ${name}`)
  for (const [key, value] of fields) if (key !== 'name') lines.push(`   ${key.charAt(0).toUpperCase()}${key.slice(1)}: ${value ?? ''}`)
}
