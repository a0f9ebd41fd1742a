import type { DriverInstance, Kind, ProbeResult } from '../sdk/driver.js'
import { notImplemented } from '../sdk/errors.js'
import { fold, listOf } from '../sdk/http/fold.js'
import { PluginClient, type PluginAddress } from '../sdk/http/client.js'
import { kindOfSubsystem, wireOf } from '../sdk/http/wires.js'
import type { HostedDriver, PluginHost } from './host.js'

interface Activation {
  implements: string[]
  /** Versions of our own calls by kind; empty for Docker's plugins. */
  native: Record<string, unknown>
}

/** A plugin that somebody else runs, behind a socket. */
export class HttpHost implements PluginHost {
  readonly type = 'http'
  private readonly client: PluginClient
  private activation: Promise<Activation> | undefined

  constructor(
    readonly name: string,
    private readonly address: PluginAddress,
  ) {
    this.client = new PluginClient({ name, address })
  }

  /** Kinds that it implements. Concurrent callers wait for the same handshake; a failed one is forgotten. */
  async activate(options: { timeout?: number; retry?: boolean } = {}): Promise<Kind[]> {
    this.activation ??= this.handshake(options).catch((error: unknown) => {
      this.activation = undefined
      throw error
    })
    return (await this.activation).implements.flatMap((one) => kindOfSubsystem(one) ?? [])
  }

  /** True when the other side keeps our contract for this kind. */
  async native(kind: Kind): Promise<boolean> {
    return typeof (await this.activation)?.native[kind] === 'number'
  }

  async driver<K extends Kind>(kind: K, _name: string): Promise<HostedDriver<K>> {
    const offered = await this.activate()
    if (!offered.includes(kind)) {
      const { subsystem } = await wireOf(kind)
      throw notImplemented(
        `Plugin does not implement the requested driver: plugin=${JSON.stringify(this.name)}, requested implementation=${JSON.stringify(subsystem)}`,
        {
          plugin: this.name,
        },
      )
    }
    const wire = await wireOf(kind)
    const native = await this.native(kind)
    return {
      probe: (): Promise<ProbeResult> => Promise.resolve({ ok: true }),
      create: () => Promise.resolve(wire.client(this.client.caller(wire.subsystem, wire.errorMember, native)) as DriverInstance<K>),
    }
  }

  inspect(): Record<string, unknown> {
    return { Address: this.address.socket ?? this.address.url ?? '' }
  }

  async dispose(): Promise<void> {
    await this.client.close()
  }

  private async handshake(options: { timeout?: number; retry?: boolean }): Promise<Activation> {
    const reply = fold(await this.client.call('/Plugin.Activate', undefined, 'Err', options), ['Implements', 'Tsd'])
    const { Tsd: native } = reply
    return {
      implements: listOf(reply.Implements, 'Implements').filter((one): one is string => typeof one === 'string'),
      native: typeof native === 'object' && native !== null ? (native as Record<string, unknown>) : {},
    }
  }
}
