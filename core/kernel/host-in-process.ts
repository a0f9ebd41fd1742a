import { pathToFileURL } from 'node:url'
import path from 'node:path'
import { type AnyDriverDefinition, type DriverDefinition, type Kind, isDriverDefinition } from '../sdk/driver.js'
import { invalidParameter, systemError, messageOf } from '../sdk/errors.js'
import type { HostedDriver, PluginHost } from './host.js'
import type { Manifest } from './manifest.js'

/** Definitions that a plugin's module exports, compared with its manifest. */
export async function loadDefinitions(manifest: Manifest, folder: string): Promise<AnyDriverDefinition[]> {
  const file = path.join(folder, manifest.main)
  let module: { default?: unknown }
  try {
    module = (await import(pathToFileURL(file).href)) as { default?: unknown }
  } catch (error) {
    throw systemError(`plugin ${manifest.name}: cannot load ${file}: ${messageOf(error)}`, { cause: error, plugin: manifest.name })
  }
  const exported: unknown[] = Array.isArray(module.default) ? module.default : [module.default]
  const definitions: AnyDriverDefinition[] = []
  for (const one of exported) {
    if (!isDriverDefinition(one))
      throw invalidParameter(`plugin ${manifest.name}: ${file} must default-export what defineDriver() answers, or a list of that`)
    definitions.push(one)
  }
  for (const { kind, name } of manifest.kinds) {
    if (!definitions.some((one) => one.kind === kind && one.name === name)) {
      throw invalidParameter(`plugin ${manifest.name}: its manifest promises ${kind}/${name}, which ${file} does not define`)
    }
  }
  for (const { kind, name } of definitions) {
    if (!manifest.kinds.some((one) => one.kind === kind && one.name === name)) {
      throw invalidParameter(`plugin ${manifest.name}: ${file} defines ${kind}/${name}, which its manifest does not name`)
    }
  }
  return definitions
}

/** Loads the plugin into the daemon itself. */
export class InProcessHost implements PluginHost {
  readonly type = 'in-process'
  private definitions: Promise<AnyDriverDefinition[]> | undefined

  constructor(
    private readonly manifest: Manifest,
    /** Answers the folder to load from, making a copy if need be. */
    private readonly folder: () => Promise<string>,
  ) {}

  async driver<K extends Kind>(kind: K, name: string): Promise<HostedDriver<K>> {
    this.definitions ??= this.folder().then((folder) => loadDefinitions(this.manifest, folder))
    const all = await this.definitions
    const definition = all.find((one) => one.kind === kind && one.name === name) as unknown as DriverDefinition<K>
    return {
      probe: async (ctx) => (definition.probe === undefined ? { ok: true } : await definition.probe(ctx)),
      create: async (ctx) => await definition.create(ctx),
    }
  }

  inspect(): Record<string, unknown> {
    return {}
  }

  dispose(): Promise<void> {
    return Promise.resolve()
  }
}
