// The way into the mount namespace of a process, and back. Runs in the worker.
import fs from 'node:fs'
import { chrootTo, closeFd, openat } from '../../../native/bindings/openat.js'
import {
  copyMountNamespace,
  detachMount,
  enterMountNamespace,
  pidfdOpen,
  pidfdSendSignal,
  unshareDirectories,
} from '../../../native/bindings/process.js'
import { startTimeOf } from '../fence.js'
import { follow } from './follow.js'
import type { Place } from './protocol.js'
import { codeOf, partsOf } from './tree.js'

const { O_RDONLY, O_DIRECTORY } = fs.constants

/** The process has ended: its mounts may be gone. */
export class PlaceGone extends Error {}

/** Where the worker comes from. */
export interface Home {
  root: number
  mounts: number
  /** Its own directory of the host's /proc: what a container shows as /proc may be anything. */
  self: number
}

/** Other threads of this process keep the root that they have: all file calls here are made by this one. */
export function settle(): Home {
  unshareDirectories()
  const directory = (path: string): number => fs.openSync(path, O_RDONLY | O_DIRECTORY)
  return { root: directory('/'), mounts: fs.openSync('/proc/self/ns/mnt', O_RDONLY), self: directory(`/proc/${process.pid}`) }
}

function openMounts({ pid, startTime }: Place): number {
  let pidfd: number
  try {
    pidfd = pidfdOpen(pid)
  } catch (error) {
    if (codeOf(error) === 'ESRCH') throw new PlaceGone()
    throw error
  }
  let mounts: number | undefined
  try {
    mounts = fs.openSync(`/proc/${pid}/ns/mnt`, O_RDONLY)
    if (startTimeOf(pid) !== startTime) throw new PlaceGone()
    // It lives still: what was opened by its number was its own.
    pidfdSendSignal(pidfd, 0)
    return mounts
  } catch (error) {
    if (mounts !== undefined) fs.closeSync(mounts)
    throw codeOf(error) === 'ESRCH' || codeOf(error) === 'ENOENT' ? new PlaceGone() : error
  } finally {
    fs.closeSync(pidfd)
  }
}

/** Mount points of the namespace that the worker is in, in the order in which they were made. */
function mountPoints({ self }: Home): string[] {
  const fd = openat(self, 'mountinfo', O_RDONLY)
  try {
    return fs
      .readFileSync(fd, 'latin1')
      .split('\n')
      .flatMap((line) => line.split(' ')[4] ?? [])
      .map((field) => field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))))
  } finally {
    closeFd(fd)
  }
}

const within = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`)

/** Leaves of a copy of the mounts what is to be seen. A container that moves its paths about meanwhile spoils its own picture alone. */
function clear(home: Home, root: number, wanted: string[]): void {
  const kept = wanted.map((path) => `/${follow(root, partsOf(Buffer.from(`/${path}`).toString('latin1'))).parts.join('/')}`)
  const superfluous = mountPoints(home).filter((point) => point !== '/' && !kept.some((path) => within(point, path) || within(path, point)))
  for (const point of superfluous.reverse()) {
    try {
      detachMount(point)
    } catch {
      // It went with the one above it, or its path leads elsewhere by now.
    }
  }
}

/** Runs with the root of the process's mount namespace, in a copy of it. Who cannot come back ends: the next job is somebody else's. */
export function inPlace<T>(home: Home, place: Place, run: (root: number) => T): T {
  const mounts = openMounts(place)
  let root: number | undefined
  try {
    enterMountNamespace(mounts)
    copyMountNamespace()
    root = fs.openSync('/', O_RDONLY | O_DIRECTORY)
    clear(home, root, place.mounts)
    return run(root)
  } finally {
    if (root !== undefined) fs.closeSync(root)
    fs.closeSync(mounts)
    try {
      enterMountNamespace(home.mounts)
      chrootTo(home.root)
    } catch {
      process.exit(1)
    }
  }
}
