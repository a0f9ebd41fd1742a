import type { LogSink } from './kinds/log.js'

/** The stdio keeper of one process: made by the engine, handed through the exec driver to the Spawner unread. */
export interface ShimSpec {
  /** Unique for ever: a container id or an exec id. */
  id: string
  /** Directory (on tmpfs) for the shim's socket and exit record. Must exist. */
  dir: string
  terminal: boolean
  consoleSize?: { height: number; width: number }
  /** Keeps stdin open; false: the process reads end of file at once. */
  openStdin: boolean
  /** Stdin is closed for good when the first attached client leaves. */
  stdinOnce: boolean
  sink: LogSink
  /** Written by the shim before anything of the plan is carried out, each replacing what stands there. */
  files?: readonly ShimFile[]
  /** Output is streamed to the daemon from the first byte, because a client is already attached. */
  stream: boolean
}

export interface ShimFile {
  /** Absolute, in a directory that exists. */
  path: string
  content: string
}

export interface StartedProcess {
  /** As seen from the host. */
  pid: number
  /** Field 22 of /proc/PID/stat, to tell a reused pid. */
  startTime: string
}
