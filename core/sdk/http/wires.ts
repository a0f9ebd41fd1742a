import type { Kind } from '../driver.js'
import { notImplemented } from '../errors.js'
import type { Wire } from './wire.js'

/** Kinds that can be reached over a socket, by the name in `Implements`. Each is loaded when it is needed. */
const loaders: { [K in Kind]?: () => Promise<Wire<K>> } = {
  volume: async () => (await import('./volume.js')).volumeWire,
}

const subsystems: Readonly<Record<string, Kind>> = {
  VolumeDriver: 'volume',
  NetworkDriver: 'network',
  IpamDriver: 'ipam',
  GraphDriver: 'graph',
  LogDriver: 'log',
  ExecDriver: 'exec',
}

export function kindOfSubsystem(subsystem: string): Kind | undefined {
  return Object.hasOwn(subsystems, subsystem) ? subsystems[subsystem] : undefined
}

export async function wireOf<K extends Kind>(kind: K): Promise<Wire<K>> {
  const load = loaders[kind] as (() => Promise<Wire<K>>) | undefined
  if (load === undefined)
    throw notImplemented(`${kind} drivers cannot be reached over a socket yet: they must run in the daemon ("isolation": "in-process")`)
  return load()
}
