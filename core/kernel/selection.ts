import fs from 'node:fs/promises'
import path from 'node:path'
import type { ProbeResult } from '../sdk/driver.js'
import { conflict, messageOf, notFound, unavailable } from '../sdk/errors.js'
import type { DriverVerdict } from '../sdk/registry.js'
import { didYouMean } from '../base/near.js'

/** Written into a graph driver's directory once it holds state: prior state is found even when the driver is not. */
export const markerName = '.tsd-driver.json'

export interface PriorState {
  driver: string
  directory: string
}

/** Graph drivers that have state under the data root, by their markers. */
export async function findPriorState(dataRoot: string): Promise<PriorState[]> {
  const entries = await fs.readdir(dataRoot, { withFileTypes: true }).catch(() => [])
  const found: PriorState[] = []
  for (const entry of entries) {
    if (!entry.isDirectory() && !entry.isSymbolicLink()) continue
    const directory = path.join(dataRoot, entry.name)
    const text = await fs.readFile(path.join(directory, markerName), 'utf8').catch(() => undefined)
    if (text !== undefined) found.push({ driver: driverOf(text) ?? entry.name, directory })
  }
  return found.sort((a, b) => (a.driver < b.driver ? -1 : 1))
}

/** A damaged marker still says that there is state; the directory then tells whose. */
function driverOf(text: string): string | undefined {
  try {
    const { driver } = JSON.parse(text) as { driver?: unknown }
    return typeof driver === 'string' && driver !== '' ? driver : undefined
  } catch {
    return undefined
  }
}

/** Marks a directory as the state of a driver. Written once. */
export async function writeMarker(directory: string, marker: { driver: string; plugin: string; version: string }): Promise<void> {
  const file = path.join(directory, markerName)
  if ((await fs.stat(file).catch(() => undefined)) !== undefined) return
  const temporary = `${file}.new`
  const handle = await fs.open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(`${JSON.stringify({ ...marker, created: new Date().toISOString() })}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await fs.rename(temporary, file)
}

export interface GraphCandidate {
  name: string
  source: string
  probe(): Promise<ProbeResult>
}

export interface GraphChoiceInput {
  /** From config or flag; empty: none. */
  configured: string
  priority: readonly string[]
  prior: readonly PriorState[]
  candidates: readonly GraphCandidate[]
  /** Where drivers were looked for. */
  looked: readonly string[]
}

export interface GraphChoice {
  name: string
  reason: string
  /** Every candidate that was considered, in order. */
  verdicts: DriverVerdict[]
}

/** Error of a choice, with what was found out until then. */
export class SelectionError extends Error {
  constructor(
    override readonly cause: Error,
    readonly verdicts: DriverVerdict[],
  ) {
    super(cause.message, { cause })
  }
}

/**
 * Docker's order: (1) the configured name, (2) prior state, vfs not counted, (3) the first of the priority list whose probe says yes.
 * What (1) or (2) name is used or the start fails: never a fallback.
 */
export async function chooseGraph(input: GraphChoiceInput): Promise<GraphChoice> {
  const verdicts: DriverVerdict[] = []
  const byName = new Map(input.candidates.map((candidate) => [candidate.name, candidate]))
  const verdict = (name: string, kind: DriverVerdict['verdict'], reason: string): void =>
    void verdicts.push({ name, verdict: kind, reason, source: byName.get(name)?.source ?? '' })
  const failWith = (error: Error): never => {
    throw new SelectionError(error, verdicts)
  }

  const must = async (name: string, why: string, wayOut: string): Promise<GraphChoice> => {
    const candidate = byName.get(name)
    if (candidate === undefined) {
      verdict(name, 'absent', `${why}; no such driver in ${input.looked.join(', ')}`)
      return failWith(
        notFound(
          `graph driver ${name} (${why}) was not found${didYouMean(name, byName.keys())}: looked in ${input.looked.join(', ')}; ${wayOut}`,
        ),
      )
    }
    const answer = await probe(candidate)
    if (!answer.ok) {
      verdict(name, 'refused', `${why}; ${answer.reason}`)
      return failWith(unavailable(`graph driver ${name} (${why}) cannot be used: ${answer.reason}; ${wayOut}`))
    }
    verdict(name, 'selected', why)
    for (const other of byName.keys()) if (other !== name) verdict(other, 'skipped', `${name} is ${why}`)
    return { name, reason: why, verdicts }
  }

  if (input.configured !== '') return must(input.configured, 'configured', 'install it or change storage-driver')

  const prior = input.prior.filter((one) => one.driver !== 'vfs')
  if (prior.length > 1) {
    for (const one of prior) verdict(one.driver, byName.has(one.driver) ? 'skipped' : 'absent', `has prior state in ${one.directory}`)
    const list = prior.map((one) => `${one.driver} (${one.directory})`).join(', ')
    return failWith(
      conflict(`several graph drivers have prior state: ${list}: set storage-driver to the one to use, or move the other directories away`),
    )
  }
  const [only] = prior
  if (only !== undefined) {
    return must(only.driver, `prior state in ${only.directory}`, `set storage-driver to use another one, or move ${only.directory} away`)
  }

  for (const [index, name] of input.priority.entries()) {
    const candidate = byName.get(name)
    if (candidate === undefined) {
      verdict(name, 'absent', 'in the priority list, but not installed')
      continue
    }
    const answer = await probe(candidate)
    if (!answer.ok) {
      verdict(name, 'refused', answer.reason)
      continue
    }
    const reason = `first usable of the priority list (${input.priority.join(', ')})`
    verdict(name, 'selected', reason)
    for (const later of input.priority.slice(index + 1))
      verdict(
        later,
        byName.has(later) ? 'skipped' : 'absent',
        byName.has(later) ? `${name} comes first` : 'in the priority list, but not installed',
      )
    skipUnlisted()
    return { name, reason, verdicts }
  }
  skipUnlisted()
  const tried = verdicts.filter((one) => one.verdict !== 'skipped').map((one) => `${one.name}: ${one.reason}`)
  return failWith(
    unavailable(`no graph driver can be used: ${tried.join('; ') || 'the priority list is empty'}; looked in ${input.looked.join(', ')}`),
  )

  function skipUnlisted(): void {
    for (const name of byName.keys())
      if (!input.priority.includes(name)) verdict(name, 'skipped', 'not in the priority list (drivers.graph.priority)')
  }
}

async function probe(candidate: GraphCandidate): Promise<ProbeResult> {
  try {
    return await candidate.probe()
  } catch (error) {
    return { ok: false, reason: `its probe failed: ${messageOf(error)}` }
  }
}
