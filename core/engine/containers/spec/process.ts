import type { ContainerConfig } from '../../../schema/engine-api.js'
import { invalidParameter } from '../../../sdk/errors.js'
import type { OciCapabilities, OciProcess, OciRlimit, OciUser } from '../../../sdk/oci.js'
import { effectiveCapabilities } from './capabilities.js'
import { INIT_PATH, wantsInit } from './init.js'
import type { SpecInput } from './input.js'
import { securityOptions } from './security.js'

export const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Entrypoint and Cmd as one command line. */
export function commandOf(config: ContainerConfig): string[] {
  const args = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])]
  if (args.length === 0 || (args.length === 1 && args[0] === '')) throw invalidParameter('no command specified')
  return args
}

/** Later settings of a name replace earlier ones in place; a name without `=` unsets it. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): string[] {
  const result = new Map<string, string | undefined>()
  const name = (entry: string) => {
    const end = entry.indexOf('=')
    return end < 0 ? entry : entry.slice(0, end)
  }
  for (const entry of base) result.set(name(entry), entry)
  for (const entry of changes) result.set(name(entry), entry.includes('=') ? entry : undefined)
  return [...result.values()].filter((entry) => entry !== undefined)
}

/** HOME is left to the driver, which knows the user's home directory. */
export function environmentOf(env: readonly string[] | null | undefined, hostname: string, terminal: boolean): string[] {
  const base = [DEFAULT_PATH, `HOSTNAME=${hostname}`]
  if (terminal) base.push('TERM=xterm')
  return mergeEnvironment(base, env ?? [])
}

function rlimitsOf({ hostConfig, daemon }: Pick<SpecInput, 'hostConfig' | 'daemon'>): OciRlimit[] {
  const limits = new Map<string, { soft: number; hard: number }>(Object.entries(daemon.defaultUlimits))
  for (const { Name = '', Soft = 0, Hard = 0 } of hostConfig.Ulimits ?? []) limits.set(Name, { soft: Soft, hard: Hard })
  return [...limits].map(([name, { soft, hard }]) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard }))
}

/** Names are looked up in the container's own /etc/passwd and /etc/group when the process starts. */
const userOf = (username: string, groupAdd: readonly string[] | null | undefined): OciUser => ({
  uid: 0,
  gid: 0,
  username,
  ...(groupAdd?.length ? { additionalGroups: [...groupAdd] } : {}),
})

function capabilitiesOf({ hostConfig, facts }: Pick<SpecInput, 'hostConfig' | 'facts'>, privileged: boolean): OciCapabilities {
  const list = effectiveCapabilities(
    { privileged: privileged || hostConfig.Privileged === true, add: hostConfig.CapAdd, drop: hostConfig.CapDrop },
    facts.capabilities,
  )
  return { bounding: list, effective: list, permitted: list }
}

function confinement({ hostConfig, daemon, facts }: Pick<SpecInput, 'hostConfig' | 'daemon' | 'facts'>) {
  const security = securityOptions(hostConfig.SecurityOpt)
  return {
    noNewPrivileges: security.noNewPrivileges ?? daemon.noNewPrivileges,
    ...(security.apparmor && facts.apparmor ? { apparmorProfile: security.apparmor } : {}),
  }
}

export function buildProcess(input: SpecInput): OciProcess {
  const { config, hostConfig } = input
  const terminal = config.Tty === true
  const [height = 0, width = 0] = hostConfig.ConsoleSize ?? []
  return {
    terminal,
    ...(terminal && height > 0 && width > 0 ? { consoleSize: { height, width } } : {}),
    user: userOf(config.User ?? '', hostConfig.GroupAdd),
    args: [...(wantsInit(input) ? [INIT_PATH, '--'] : []), ...commandOf(config)],
    env: environmentOf(config.Env, input.hostname, terminal),
    cwd: config.WorkingDir || '/',
    capabilities: capabilitiesOf(input, false),
    rlimits: rlimitsOf(input),
    ...confinement(input),
    oomScoreAdj: hostConfig.OomScoreAdj ?? 0,
  }
}

export interface ExecRequest {
  Cmd?: readonly string[] | null
  Env?: readonly string[] | null
  User?: string
  WorkingDir?: string
  Tty?: boolean
  Privileged?: boolean
  consoleSize?: { height: number; width: number }
}

/** The process of an exec: like the container's own unless the request says otherwise. */
export function buildExecProcess(
  input: Pick<SpecInput, 'config' | 'hostConfig' | 'hostname' | 'facts' | 'daemon'>,
  request: ExecRequest,
): OciProcess {
  const args = [...(request.Cmd ?? [])]
  if (args.length === 0 || args[0] === '') throw invalidParameter('No exec command specified')
  if (request.WorkingDir && !request.WorkingDir.startsWith('/'))
    throw invalidParameter(`the working directory '${request.WorkingDir}' is invalid, it needs to be an absolute path`)
  const terminal = request.Tty === true
  const { config, hostConfig } = input
  return {
    terminal,
    ...(terminal && request.consoleSize ? { consoleSize: request.consoleSize } : {}),
    user: userOf(request.User || config.User || '', hostConfig.GroupAdd),
    args,
    env: mergeEnvironment(environmentOf(config.Env, input.hostname, terminal), request.Env ?? []),
    cwd: request.WorkingDir || config.WorkingDir || '/',
    capabilities: capabilitiesOf(input, request.Privileged === true),
    rlimits: rlimitsOf(input),
    ...confinement(input),
    oomScoreAdj: hostConfig.OomScoreAdj ?? 0,
  }
}
