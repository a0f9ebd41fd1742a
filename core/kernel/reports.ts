import type { Kind, ProbeResult } from '../sdk/driver.js'
import { messageOf } from '../sdk/errors.js'
import type { DriverSummary, DriverVerdict } from '../sdk/registry.js'
import type { DriverStore, StoredDriver } from './store.js'

const states = { available: 'available', starting: 'pending', active: 'active', draining: 'pending', failed: 'failed' } as const

/** A row of `tsd driver ls`. */
export function summarise({ slot, info }: StoredDriver, selected: boolean): DriverSummary {
  return {
    kind: slot.kind,
    name: slot.name,
    version: info.version,
    host: info.host,
    state: states[slot.state],
    selected,
    source: info.source,
  }
}

/** `tsd driver inspect`: one name may stand for drivers of several kinds. */
export function describeDriver(
  name: string,
  drivers: readonly StoredDriver[],
  selected: (driver: StoredDriver) => boolean,
): Record<string, unknown> {
  return {
    Name: name,
    Drivers: drivers.map((driver) => {
      const { slot, info } = driver
      return {
        Kind: slot.kind,
        Name: slot.name,
        Plugin: info.plugin,
        Version: info.version,
        Description: info.manifest?.description ?? '',
        Host: info.host,
        Source: info.source,
        Bundled: info.bundled,
        CrashOnly: info.crashOnly,
        State: slot.state,
        Selected: selected(driver),
        ...(slot.failure === undefined ? {} : { Error: messageOf(slot.failure) }),
        Requires: info.manifest?.requires ?? [],
        Options: info.entry?.options ?? {},
        Leases: slot.leases(),
        ...info.details(),
      }
    }),
  }
}

type Probe = (driver: StoredDriver) => Promise<ProbeResult>

const tryProbe = (probe: Probe, driver: StoredDriver): Promise<ProbeResult> =>
  probe(driver).catch((error: unknown): ProbeResult => ({ ok: false, reason: messageOf(error) }))

/** `driver why graph`: the choice as it was made at boot; what was not looked at then is probed now. */
export async function explainGraph(verdicts: readonly DriverVerdict[], store: DriverStore, probe: Probe): Promise<DriverVerdict[]> {
  return Promise.all(
    verdicts.map(async (verdict) => {
      const stored = verdict.verdict === 'skipped' ? store.get('graph', verdict.name) : undefined
      if (stored === undefined) return verdict
      const answer = await tryProbe(probe, stored)
      return answer.ok
        ? { ...verdict, verdict: 'available' }
        : { ...verdict, verdict: 'refused', reason: `${answer.reason}; ${verdict.reason}` }
    }),
  )
}

export interface NamedChoice {
  chosen: string
  /** Names of the default, best first. */
  defaults: readonly string[]
  required: readonly string[]
  looked: readonly string[]
}

/** `driver why KIND` for the kinds of which several are used side by side. */
export async function explainNamed(kind: Kind, choice: NamedChoice, store: DriverStore, probe: Probe): Promise<DriverVerdict[]> {
  const { chosen, defaults, required, looked } = choice
  const absent = defaults
    .filter((name) => store.get(kind, name) === undefined)
    .map((name): DriverVerdict => ({ name, verdict: 'absent', reason: `not found in ${looked.join(', ')}`, source: '' }))
  const present = store.getAllByCapability(kind).map(async (driver): Promise<DriverVerdict> => {
    const { slot, info } = driver
    const is = (verdict: DriverVerdict['verdict'], reason: string): DriverVerdict => ({
      name: slot.name,
      verdict,
      reason,
      source: info.source,
    })
    if (slot.state === 'failed') return is('failed', messageOf(slot.failure))
    if (slot.state !== 'active') {
      const answer = await tryProbe(probe, driver)
      if (!answer.ok) return is('refused', answer.reason)
    }
    if (slot.name !== chosen) return is('available', slot.state === 'active' ? 'in use by name' : 'used when named')
    if (required.includes(slot.id)) return is('selected', 'configured')
    return is('selected', defaults[0] === chosen ? 'the default' : 'the first default that is installed')
  })
  return [...absent, ...(await Promise.all(present))]
}
