import type { Readable } from 'node:stream'
import type { Kind, KindMap } from '../driver.js'

export interface CallOptions {
  /** Milliseconds per attempt; default: that of the plugin. */
  timeout?: number
  /** Repeat after failures of the round trip; default true. */
  retry?: boolean
  signal?: AbortSignal
}

/** How a client adapter reaches its plugin. */
export interface PluginCaller {
  /** Name of the plugin, for errors. */
  readonly name: string
  /** True when the other side speaks our native calls of this kind and keeps our contract. */
  readonly native: boolean
  /** POST with a JSON body (undefined: empty body); answers the parsed reply. An error in the reply is thrown. */
  call(method: string, body?: unknown, options?: CallOptions): Promise<unknown>
  /** The same with a raw reply body, to be consumed. */
  download(method: string, body?: unknown, options?: CallOptions): Promise<Readable>
  /** The same with a raw request body. Never repeated. */
  upload(method: string, query: Record<string, string>, body: Readable, options?: CallOptions): Promise<unknown>
}

/** One request as a server sees it. */
export interface WireRequest {
  /** Parsed JSON; `{}` for an empty body or `null`. */
  json(): Promise<unknown>
  /** The raw body, for calls that stream. */
  body: Readable
  query: URLSearchParams
  /** Aborts when the client went away. */
  signal: AbortSignal
}

/** A reply: members beside `Err`, or a raw stream. */
export type WireReply = Record<string, unknown> | Readable

export type WireHandler = (request: WireRequest) => Promise<WireReply>

/** Both directions of one kind over Docker's plugin protocol. */
export interface Wire<K extends Kind> {
  kind: K
  /** In `Implements`, and the first half of every path: `VolumeDriver`. */
  subsystem: string
  /** Member of a 200 reply that carries an error. */
  errorMember: 'Err' | 'Error'
  /** Version of our own calls under this subsystem, announced as `"Tsd": {"volume": 1}`. */
  version: number
  client(caller: PluginCaller): KindMap[K]
  /** Handlers by call name, without the subsystem. */
  server(driver: KindMap[K]): Record<string, WireHandler>
}
