import fs from 'node:fs/promises'
import path from 'node:path'
import { checkValue, withDefaults, type JsonSchema } from '../base/json-schema.js'
import type { Kind } from '../sdk/driver.js'
import { invalidParameter } from '../sdk/errors.js'
import type { Archiver, DaemonFacts, DriverContext, Logger, Mounter, Spawner } from '../sdk/ports.js'

/** SDK services that every driver gets. */
export interface DriverServices {
  spawner: Spawner
  mounter: Mounter
  archiver: Archiver
  /** A logger that names the driver. */
  loggerFor(driver: string): Logger
}

/** Options as configured, by kind and driver name. Under graph, `*` stands for whichever driver is chosen. */
export type DriverOptions = Partial<Record<Kind, Record<string, Record<string, unknown>>>>

export function dataDirOf(facts: DaemonFacts, kind: Kind, name: string): string {
  return kind === 'graph' ? path.join(facts.dataRoot, name) : path.join(facts.dataRoot, `${kind}s`, name)
}

export function runDirOf(facts: DaemonFacts, kind: Kind, name: string): string {
  return path.join(facts.execRoot, 'drivers', kind, name)
}

export function makeContext(
  kind: Kind,
  name: string,
  options: Record<string, unknown>,
  facts: DaemonFacts,
  services: DriverServices,
): DriverContext {
  return {
    name,
    dataDir: dataDirOf(facts, kind, name),
    runDir: runDirOf(facts, kind, name),
    options,
    logger: services.loggerFor(`${kind}/${name}`),
    spawner: services.spawner,
    mounter: services.mounter,
    archiver: services.archiver,
    daemon: facts,
  }
}

export async function makeDirectories(ctx: DriverContext): Promise<void> {
  // Volumes and layers are reached through it by processes of containers that are not root.
  await fs.mkdir(ctx.dataDir, { recursive: true, mode: 0o711 })
  await fs.mkdir(ctx.runDir, { recursive: true, mode: 0o711 })
}

/** Options of one driver, checked against its schema and with its defaults. */
export function driverOptions(
  all: DriverOptions,
  kind: Kind,
  name: string,
  schema: JsonSchema,
  extra: Record<string, unknown> = {},
): Record<string, unknown> {
  const configured = all[kind] ?? {}
  const given = { ...(kind === 'graph' ? configured['*'] : undefined), ...configured[name], ...extra }
  const [problem] = checkValue(given, schema)
  if (problem !== undefined)
    throw invalidParameter(`drivers.${kind}.options.${name}${problem.path === '' ? '' : `.${problem.path}`} ${problem.message}`)
  return withDefaults(given, schema)
}
