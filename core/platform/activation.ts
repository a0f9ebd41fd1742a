import { inheritedListener } from '../../native/index.js'
import { invalidParameter, messageOf } from '../sdk/errors.js'

/** A listening socket that a service manager made. */
export interface ActivatedSocket {
  fd: number
  family: 'unix' | 'tcp'
}

const firstFd = 3
const mostFds = 100

/**
 * Sockets of systemd's socket activation (LISTEN_FDS), taken once: the variables are removed, and no child inherits the descriptors. Those meant
 * for another process (LISTEN_PID) are left alone.
 */
export function takeActivatedSockets(env: NodeJS.ProcessEnv, pid: number): ActivatedSocket[] {
  const { LISTEN_FDS: count = '', LISTEN_PID: owner } = env
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete env[name]
  if (owner !== String(pid) || !/^\d{1,3}$/.test(count) || Number(count) > mostFds) return []
  return Array.from({ length: Number(count) }, (_, at) => {
    const fd = firstFd + at
    let family: ActivatedSocket['family'] | undefined
    try {
      family = inheritedListener(fd)
    } catch (error) {
      throw invalidParameter(`LISTEN_FDS is ${count}, but file descriptor ${fd} is no socket: ${messageOf(error)}`, { cause: error })
    }
    if (family === undefined)
      throw invalidParameter(`socket activation: file descriptor ${fd} does not listen for streams: use ListenStream= and Accept=no`)
    return { fd, family }
  })
}
