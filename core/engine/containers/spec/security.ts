import { invalidParameter, notImplemented } from '../../../sdk/errors.js'
import type { OciSeccomp } from '../../../sdk/oci.js'
import { effectiveCapabilities } from './capabilities.js'
import type { SpecInput } from './input.js'
import { parseSeccompProfile, seccompOf } from './seccomp.js'
import { defaultSeccompProfile } from './seccomp-default.js'

export interface SecurityOptions {
  /** undefined: the daemon's default. */
  noNewPrivileges?: boolean
  /** `builtin`, `unconfined` or the JSON text of a profile; undefined: the daemon's default. */
  seccomp?: string
  /** Profile name; undefined: none asked for. */
  apparmor?: string
  writableCgroups?: boolean
}

const booleans: Record<string, boolean> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
}

function flag(option: string, value: string): boolean {
  const parsed = booleans[value]
  if (parsed === undefined) throw invalidParameter(`invalid --security-opt 2: "${option}"`)
  return parsed
}

/** `key=value`, or Docker's older `key:value`. */
export function securityOptions(options: readonly string[] | null | undefined): SecurityOptions {
  const result: SecurityOptions = {}
  for (const option of options ?? []) {
    if (option === 'no-new-privileges') {
      result.noNewPrivileges = true
      continue
    }
    if (option === 'disable') continue
    const match = /^([^=:]+)[=:]([\s\S]*)$/.exec(option)
    if (!match) throw invalidParameter(`invalid --security-opt 1: "${option}"`)
    const [, key = '', value = ''] = match
    switch (key) {
      case 'no-new-privileges':
        result.noNewPrivileges = flag(option, value)
        break
      case 'seccomp':
        result.seccomp = value
        break
      case 'apparmor':
        result.apparmor = value
        break
      case 'writable-cgroups':
        result.writableCgroups = flag(option, value)
        break
      case 'label':
        if (value !== 'disable')
          throw notImplemented(`security option "${option}": SELinux labels are not supported; only label=disable is accepted`)
        break
      default:
        throw invalidParameter(`invalid --security-opt 2: "${option}"`)
    }
  }
  return result
}

const profiles = new Map<string, ReturnType<typeof parseSeccompProfile>>()

/** The same text is parsed once: restarts of a container with a custom profile are as cheap as the default. */
function customProfile(text: string): ReturnType<typeof parseSeccompProfile> {
  let profile = profiles.get(text)
  if (!profile) {
    profile = parseSeccompProfile(text)
    if (profiles.size >= 32) profiles.delete(profiles.keys().next().value ?? '')
    profiles.set(text, profile)
  }
  return profile
}

/** Checks that a profile asked for can be read at all; used at container create. */
export function checkSecurity(options: SecurityOptions, apparmorEnabled: boolean): void {
  if (options.seccomp && options.seccomp !== 'unconfined' && options.seccomp !== 'builtin') customProfile(options.seccomp)
  if (options.apparmor && options.apparmor !== 'unconfined' && !apparmorEnabled)
    throw notImplemented(
      `security option "apparmor=${options.apparmor}": AppArmor is not enabled on this host; leave it out or use apparmor=unconfined`,
    )
}

/** The filter of a container; undefined: unconfined. */
export function buildSeccomp(input: SpecInput): OciSeccomp | undefined {
  const { hostConfig } = input
  const { seccomp } = securityOptions(hostConfig.SecurityOpt)
  if (seccomp === 'unconfined') return undefined
  // A privileged container is unconfined unless a profile was named for it.
  if (hostConfig.Privileged && (seccomp === undefined || seccomp === '')) return undefined
  let profile
  if (seccomp === 'builtin') profile = defaultSeccompProfile
  else if (seccomp) profile = customProfile(seccomp)
  else if (input.seccompProfile === null) return undefined
  else profile = input.seccompProfile ?? defaultSeccompProfile
  const capabilities = effectiveCapabilities(
    { privileged: hostConfig.Privileged === true, add: hostConfig.CapAdd, drop: hostConfig.CapDrop },
    input.facts.capabilities,
  )
  return seccompOf(profile, capabilities, input.facts.architecture, input.facts.kernel)
}

/** The filter of a container that asks for nothing: what exec drivers are warmed with. */
export function usualSeccomp(facts: SpecInput['facts'], profile: SpecInput['seccompProfile']): OciSeccomp | undefined {
  if (profile === null) return undefined
  return seccompOf(
    profile ?? defaultSeccompProfile,
    effectiveCapabilities({ privileged: false }, facts.capabilities),
    facts.architecture,
    facts.kernel,
  )
}

export const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]

export const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
