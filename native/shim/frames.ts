/**
 * Frames on a shim's control stream: u32 length of the payload, u8 type, payload; numbers little-endian. The C header takes the types from here.
 * A version is for ever: a newer daemon speaks every one.
 */
export const SHIM_VERSION = 2
export const FRAME_HEADER = 5
/** What a shim sends never exceeds this; a peer that does is not a shim. */
export const FRAME_MAX = 256 << 10
/** Output bytes that may be on their way before the daemon has acknowledged them. */
export const OUTPUT_WINDOW = 1 << 20
export const STDIN_WINDOW = 64 << 10

/** From the shim. */
export const fromShim = {
  /** u32 version, u32 state, u32 pid, u64 start time, u64 dropped log bytes, exit (as `exit`), str id. First frame on every connection, the answer to `status`, and sent when the log lost more. */
  hello: 1,
  /** u32 pid, u64 start time. */
  started: 2,
  parked: 3,
  /** u32 phase, u32 index, u32 op code, u32 errno, str op, str subject, str detail. The shim ends. */
  error: 4,
  stdout: 5,
  stderr: 6,
  /** Nothing more comes on stdout and stderr. */
  outputEnd: 7,
  /** i32 code, u32 signal, u32 oom, str time, u64 dropped log bytes. */
  exit: 8,
  oom: 9,
  /** u32 bytes of stdin taken. */
  stdinTaken: 10,
  /** u32 request, then as `error` when it failed. */
  applied: 11,
  ping: 12,
  pong: 13,
  /** Helper: output bytes; then `done`. */
  helperOutput: 14,
  helperDone: 15,
  /** After `exit`: the mounts of the process are gone. Since version 2. */
  released: 16,
} as const

/** To the shim. */
export const toShim = {
  /** u32 on. */
  stream: 65,
  stdin: 66,
  stdinClose: 67,
  /** u32 height, u32 width. */
  resize: 68,
  /** u32 signal. */
  signal: 69,
  resume: 70,
  /** u32 request, plan: host and parent ops in the daemon's namespaces, then child ops in the container's network namespace. */
  apply: 71,
  ping: 72,
  pong: 73,
  /** u32 output bytes taken. */
  outputTaken: 74,
  status: 75,
  close: 76,
} as const

export const shimStates = { starting: 0, parked: 1, running: 2, exited: 3 } as const

/** Messages to the zygote: u32 magic, u32 type, u32 id, u32 deadline in ms, then plan blobs (or a memfd of them beside the control socket). */
export const toZygote = { launch: 1, run: 2, kill: 3 } as const
export const ZYGOTE_MAGIC = 0x5a445354
export const ZYGOTE_INLINE = 64 << 10
