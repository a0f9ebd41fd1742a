import { invalidParameter } from '../../../sdk/errors.js'
import type { OciSeccomp } from '../../../sdk/oci.js'
import type { ProfileCondition, ProfileRule, SeccompProfile } from './seccomp-default.js'

/** Go's architecture name to libseccomp's. */
const NATIVE: Record<string, string> = {
  amd64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
  386: 'SCMP_ARCH_X86',
  ppc64le: 'SCMP_ARCH_PPC64LE',
  s390x: 'SCMP_ARCH_S390X',
  riscv64: 'SCMP_ARCH_RISCV64',
  loong64: 'SCMP_ARCH_LOONGARCH64',
}

/** Names that profiles use for the architectures a filter covers. */
const PROFILE_NAME: Record<string, string> = {
  SCMP_ARCH_X86: 'x86',
  SCMP_ARCH_X86_64: 'amd64',
  SCMP_ARCH_X32: 'x32',
  SCMP_ARCH_ARM: 'arm',
  SCMP_ARCH_AARCH64: 'arm64',
  SCMP_ARCH_MIPS: 'mips',
  SCMP_ARCH_MIPS64: 'mips64',
  SCMP_ARCH_MIPS64N32: 'mips64n32',
  SCMP_ARCH_MIPSEL: 'mipsel',
  SCMP_ARCH_MIPSEL64: 'mipsel64',
  SCMP_ARCH_MIPSEL64N32: 'mipsel64n32',
  SCMP_ARCH_PPC64LE: 'ppc64le',
  SCMP_ARCH_S390: 's390',
  SCMP_ARCH_S390X: 's390x',
  SCMP_ARCH_RISCV64: 'riscv64',
  SCMP_ARCH_LOONGARCH64: 'loong64',
}

const refuse = (why: string) => invalidParameter(`Decoding seccomp profile failed: ${why}`)
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function strings(value: unknown, where: string): string[] | undefined {
  if (value === undefined || value === null) return undefined
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw refuse(`${where} must be a list of strings`)
  return value as string[]
}

function condition(value: unknown, where: string): ProfileCondition | undefined {
  if (value === undefined || value === null) return undefined
  if (!isRecord(value)) throw refuse(`${where} must be an object`)
  const caps = strings(value.caps, `${where}.caps`)
  const arches = strings(value.arches, `${where}.arches`)
  const { minKernel } = value
  if (minKernel !== undefined && (typeof minKernel !== 'string' || !/^\d+\.\d+$/.test(minKernel)))
    throw refuse(`${where}.minKernel must be <major>.<minor>`)
  return { ...(caps ? { caps } : {}), ...(arches ? { arches } : {}), ...(minKernel ? { minKernel } : {}) }
}

const number = (value: unknown, where: string): number => {
  if (value === undefined || value === null) return 0
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw refuse(`${where} must be a non-negative integer`)
  return value
}

function rule(value: unknown, index: number): ProfileRule {
  const where = `syscalls[${index}]`
  if (!isRecord(value)) throw refuse(`${where} must be an object`)
  const single = typeof value.name === 'string' && value.name !== '' ? value.name : undefined
  const list = strings(value.names, `${where}.names`)
  if (single && list?.length) throw refuse(`${where}: use either 'name' or 'names'`)
  const names = single ? [single] : (list ?? [])
  if (typeof value.action !== 'string') throw refuse(`${where}.action must be a string`)
  const args = value.args
  if (args !== undefined && args !== null && !Array.isArray(args)) throw refuse(`${where}.args must be a list`)
  const includes = condition(value.includes, `${where}.includes`)
  const excludes = condition(value.excludes, `${where}.excludes`)
  return {
    names,
    action: value.action,
    ...(value.errnoRet === undefined || value.errnoRet === null ? {} : { errnoRet: number(value.errnoRet, `${where}.errnoRet`) }),
    ...(Array.isArray(args) && args.length > 0
      ? {
          args: args.map((arg: unknown, position) => {
            const at = `${where}.args[${position}]`
            if (!isRecord(arg) || typeof arg.op !== 'string') throw refuse(`${at} must have an op`)
            return { index: number(arg.index, at), value: number(arg.value, at), valueTwo: number(arg.valueTwo, at), op: arg.op }
          }),
        }
      : {}),
    ...(includes ? { includes } : {}),
    ...(excludes ? { excludes } : {}),
  }
}

/** A profile as users write it. */
export function parseSeccompProfile(text: string): SeccompProfile {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw refuse((error as Error).message)
  }
  if (!isRecord(json)) throw refuse('it must be an object')
  if (typeof json.defaultAction !== 'string') throw refuse('defaultAction is missing')
  if (json.listenerPath) throw refuse('listenerPath is not supported')
  const architectures = strings(json.architectures, 'architectures')
  const flags = strings(json.flags, 'flags')
  const archMap = json.archMap
  if (archMap !== undefined && archMap !== null && !Array.isArray(archMap)) throw refuse('archMap must be a list')
  if (architectures?.length && Array.isArray(archMap) && archMap.length) throw refuse("use either 'architectures' or 'archMap'")
  if (json.syscalls !== undefined && json.syscalls !== null && !Array.isArray(json.syscalls)) throw refuse('syscalls must be a list')
  return {
    defaultAction: json.defaultAction,
    ...(json.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: number(json.defaultErrnoRet, 'defaultErrnoRet') }),
    ...(architectures ? { architectures } : {}),
    ...(flags ? { flags } : {}),
    ...(Array.isArray(archMap)
      ? {
          archMap: archMap.map((entry: unknown, index) => {
            if (!isRecord(entry) || typeof entry.architecture !== 'string') throw refuse(`archMap[${index}] must name an architecture`)
            return {
              architecture: entry.architecture,
              subArchitectures: strings(entry.subArchitectures, `archMap[${index}].subArchitectures`) ?? null,
            }
          }),
        }
      : {}),
    syscalls: ((json.syscalls as unknown[] | null | undefined) ?? []).map(rule),
  }
}

function atLeast(kernel: readonly [number, number], wanted: string): boolean {
  const [major = 0, minor = 0] = wanted.split('.').map(Number)
  return kernel[0] > major || (kernel[0] === major && kernel[1] >= minor)
}

function applies(rule: ProfileRule, capabilities: ReadonlySet<string>, architecture: string, kernel: readonly [number, number]): boolean {
  const { includes, excludes } = rule
  if (excludes?.arches?.includes(architecture)) return false
  if (excludes?.caps?.some((cap) => capabilities.has(cap))) return false
  if (excludes?.minKernel && atLeast(kernel, excludes.minKernel)) return false
  if (includes?.arches?.length && !includes.arches.includes(architecture)) return false
  if (includes?.caps && !includes.caps.every((cap) => capabilities.has(cap))) return false
  return !(includes?.minKernel && !atLeast(kernel, includes.minKernel))
}

const resolved = new WeakMap<SeccompProfile, Map<string, OciSeccomp>>()

/** The profile's rules for one container. The same (profile, capabilities, architecture) answers the same frozen object. */
export function seccompOf(
  profile: SeccompProfile,
  capabilities: readonly string[],
  architecture: string,
  kernel: readonly [number, number],
): OciSeccomp {
  let known = resolved.get(profile)
  if (!known) resolved.set(profile, (known = new Map()))
  const key = `${architecture} ${kernel.join('.')} ${[...capabilities].sort().join(' ')}`
  const found = known.get(key)
  if (found) return found

  const native = NATIVE[architecture]
  if (!native) throw invalidParameter(`seccomp is not supported on ${architecture}: use --security-opt seccomp=unconfined`)
  const held = new Set(capabilities)
  const sub = profile.archMap?.find((entry) => entry.architecture === native)
  const architectures = profile.architectures ?? (sub ? [native, ...(sub.subArchitectures ?? [])] : [])
  const name = PROFILE_NAME[native] ?? architecture
  const seccomp: OciSeccomp = Object.freeze({
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures,
    ...(profile.flags ? { flags: profile.flags } : {}),
    syscalls: profile.syscalls
      .filter((entry) => applies(entry, held, name, kernel))
      .map(({ names, action, errnoRet, args }) => ({
        names,
        action,
        ...(errnoRet === undefined ? {} : { errnoRet }),
        ...(args ? { args } : {}),
      })),
  })
  if (known.size >= 64) known.clear()
  known.set(key, seccomp)
  return seccomp
}
