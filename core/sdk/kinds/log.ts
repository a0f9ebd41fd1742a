/** Everything a log driver may use to name a container. Source: Docker's LogDriver Info. */
export interface LogInfo {
  /** `--log-opt` pairs. */
  config: Record<string, string>
  containerId: string
  /** Without a leading slash. */
  containerName: string
  containerEntrypoint: string
  containerArgs: string[]
  containerImageId: string
  containerImageName: string
  /** RFC 3339. */
  containerCreated: string
  containerEnv: string[]
  containerLabels: Record<string, string>
  /** Directory of the container where a driver may keep files. */
  logDir: string
  daemonName: string
}

/** Where the shim writes a container's output. The shim implements these and nothing else. */
export type LogSink =
  | { type: 'none' }
  | {
      type: 'file'
      /** Absolute path of the current file; rotated ones get `.1`, `.2` ... */
      path: string
      /** `local`: that of Docker's driver of this name, a LogEntry in protobuf between its length and its length again. */
      format: 'json-file' | 'local'
      /** Constant attributes written with every line of a json-file. */
      attrs: Record<string, string>
      /** Bytes; 0 or less: never rotate. */
      maxSize: number
      /** Number of files kept, at least 1. */
      maxFile: number
      compress: boolean
    }
  | { type: 'fifo'; path: string; mode: 'blocking' | 'non-blocking'; bufferSize: number }

export interface LogReadOptions {
  /** Nanoseconds since the epoch, inclusive; undefined: from the start. */
  since?: bigint
  /** Nanoseconds since the epoch, inclusive. */
  until?: bigint
  /** Lines from the end; undefined or negative: all. */
  tail?: number
  follow: boolean
  /** Ends a follow once the container has stopped and all it wrote was read. */
  stopped: AbortSignal
  /** The reader went away. */
  signal: AbortSignal
}

/** For readers that want what `docker logs` sends, not entries. */
export interface LogFrameOptions extends LogReadOptions {
  stdout: boolean
  stderr: boolean
  /** Docker's 8-byte header before each line (no terminal), or the bare text. */
  framed: boolean
}

export interface LogEntry {
  source: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds, UTC. */
  time: string
  /** Bytes of the line with its newline, unless it is a partial piece of a longer line. */
  line: Uint8Array
  attrs?: Record<string, string>
}

export interface LogDriver {
  /** Checks options at container create: unknown or malformed ones are InvalidParameter. */
  validate(config: Record<string, string>): Promise<void>
  /** Answers where to write; idempotent per container. */
  start(info: LogInfo): Promise<LogSink>
  /** Called when the container's output has ended. */
  stop(info: LogInfo): Promise<void>
  /** Absent: `docker logs` is refused by name. Entries come in batches, to be cheap for millions of lines. */
  read?(info: LogInfo, options: LogReadOptions): AsyncIterable<LogEntry[]>
  /** The same as bytes that can be sent as they are, without times and attributes: many times faster than entries. Absent: the engine makes them. */
  readFrames?(info: LogInfo, options: LogFrameOptions): AsyncIterable<Buffer>
  /** Called now and then while a container writes, for work that the writer does not do (compression of rotated files). */
  maintain?(info: LogInfo): Promise<void>
  /** Files to delete with the container. */
  remove?(info: LogInfo): Promise<void>
}
