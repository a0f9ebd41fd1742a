import type { ShimConnection } from '../ports/index.js'
import type { StdioClient, StdioSession } from './contract.js'
import { DetachMatcher } from './detach-keys.js'

export interface HubClient {
  client: StdioClient
  stdin: boolean
  stdout: boolean
  stderr: boolean
  detachKeys: Buffer | undefined
  /** Closes the process's stdin when this client's side ends. */
  closesStdin: boolean
  tty: boolean
}

/** Fans one process's output out to its attached clients and takes their input. Clients may come before the process. */
export class StdioHub {
  private readonly clients = new Set<HubClient>()
  private shim: ShimConnection | undefined
  /** Input that came before the process waits for it. */
  private awaited: { promise: Promise<void>; settle(): void } | undefined

  get attached(): boolean {
    return this.clients.size > 0
  }

  /** Wires a process in. Its output streams only while somebody listens. */
  bind(shim: ShimConnection): void {
    this.shim = shim
    this.awaited?.settle()
    shim.onOutput = (source, data) => this.deliver(source, data)
    void shim.ended.then(() => {
      if (this.shim === shim) this.release()
    })
  }

  /** The process is gone: everybody's stream is over. */
  release(): void {
    this.shim = undefined
    this.awaited?.settle()
    this.awaited = undefined
    for (const { client } of this.clients) client.end()
    this.clients.clear()
  }

  join(entry: HubClient): StdioSession {
    this.clients.add(entry)
    if (entry.stdout || entry.stderr) this.shim?.stream(true)
    const matcher = entry.detachKeys ? new DetachMatcher(entry.detachKeys) : undefined
    const leave = (): void => {
      if (!this.clients.delete(entry)) return
      if (![...this.clients].some((c) => c.stdout || c.stderr)) this.shim?.stream(false)
    }
    return {
      tty: entry.tty,
      input: async (data) => {
        if (!entry.stdin || !this.clients.has(entry)) return true
        await this.process()
        if (!matcher) {
          await this.shim?.writeStdin(data)
          return true
        }
        const { pass, detached } = matcher.feed(data)
        if (pass.length > 0) await this.shim?.writeStdin(pass)
        if (detached) {
          leave()
          entry.client.end()
        }
        return !detached
      },
      inputEnd: () => {
        if (!entry.stdin || !entry.closesStdin || !this.clients.has(entry)) return
        void this.process().then(() => this.shim?.closeStdin())
      },
      detach: leave,
    }
  }

  private process(): Promise<void> {
    if (this.shim) return Promise.resolve()
    if (!this.awaited) {
      let settle = (): void => undefined
      const promise = new Promise<void>((resolve) => (settle = resolve))
      this.awaited = { promise, settle }
    }
    return this.awaited.promise
  }

  private deliver(source: 'stdout' | 'stderr', data: Buffer): Promise<void> | void {
    let waits: Promise<void>[] | undefined
    for (const entry of this.clients) {
      if (source === 'stdout' ? !entry.stdout : !entry.stderr) continue
      const wait = entry.client.output(source, data)
      if (wait) (waits ??= []).push(wait)
    }
    if (waits) return Promise.all(waits).then(() => undefined)
  }
}
