// The way into the mount namespace of a process, and back. Runs in the worker.
import fs from 'node:fs'
import { chrootTo } from '../../../native/bindings/openat.js'
import { enterMountNamespace, pidfdOpen, pidfdSendSignal, unshareDirectories } from '../../../native/bindings/process.js'
import { startTimeOf } from '../fence.js'
import type { Place } from './protocol.js'
import { codeOf } from './tree.js'

const { O_RDONLY, O_DIRECTORY } = fs.constants

/** The process has ended: its mounts may be gone. */
export class PlaceGone extends Error {}

/** Where the worker comes from. */
export interface Home {
  root: number
  mounts: number
}

/** Other threads of this process keep the root that they have: all file calls here are made by this one. */
export function settle(): Home {
  unshareDirectories()
  return { root: fs.openSync('/', O_RDONLY | O_DIRECTORY), mounts: fs.openSync('/proc/self/ns/mnt', O_RDONLY) }
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

/** Runs with the root of the process's mount namespace. Who cannot come back ends: the next job is somebody else's. */
export function inPlace<T>(home: Home, place: Place, run: (root: number) => T): T {
  const mounts = openMounts(place)
  let root: number | undefined
  try {
    enterMountNamespace(mounts)
    root = fs.openSync('/', O_RDONLY | O_DIRECTORY)
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
