import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { conflict, systemError } from '../sdk/errors.js'
import { flock, pidfdOpen, pidfdSendSignal } from '../../native/index.js'

/** How long the helpers of a daemon that died may take to finish or roll back what they have in hand. */
const patienceMs = 5_000
const killedMs = 2_000
const SIGKILL = 9

interface HelperRecord {
  pid: number
  startTime: string
  bootId: string
}

const bootId = (): string => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

/** Field 22 of /proc/PID/stat; undefined when there is no such process. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

function readHelpers(file: string): HelperRecord[] {
  if (!fs.existsSync(file)) return []
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [pid = '', startTime = '', boot = ''] = line.split(' ')
      return /^\d+$/.test(pid) && startTime !== '' ? [{ pid: Number(pid), startTime, bootId: boot }] : []
    })
}

/** Kills exactly the recorded processes: a pid that was given to somebody else since has another start time. */
function killRecorded(helpers: HelperRecord[]): void {
  const boot = bootId()
  for (const helper of helpers) {
    if (helper.bootId !== boot || startTimeOf(helper.pid) !== helper.startTime) continue
    let pidfd: number
    try {
      pidfd = pidfdOpen(helper.pid)
    } catch {
      continue
    }
    try {
      if (startTimeOf(helper.pid) === helper.startTime) pidfdSendSignal(pidfd, SIGKILL)
    } catch {
      // It ended in the meantime.
    } finally {
      fs.closeSync(pidfd)
    }
  }
}

/** Takes a root for this process, or says whose it is. */
function own(root: string, what: string, flag: string): number {
  const file = path.join(root, 'lock')
  const fd = fs.openSync(file, 'a+', 0o600)
  if (!flock(fd, 'exclusive')) {
    const owner = fs.readFileSync(file, 'utf8').trim()
    fs.closeSync(fd)
    throw conflict(
      `the ${what} ${root} is in use by another tsd daemon${owner ? ` (pid ${owner})` : ''}: stop it, or give this one another --${flag}`,
    )
  }
  fs.ftruncateSync(fd)
  fs.writeSync(fd, `${process.pid}\n`)
  return fd
}

async function lockWithin(fd: number, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; ; await sleep(5)) {
    if (flock(fd, 'exclusive')) return true
    if (Date.now() >= end) return false
  }
}

/**
 * One daemon owns a data root, and the helpers of its predecessor are gone before it looks at the world. Both are flocks: the kernel releases
 * them however a process ends.
 */
export class Fence {
  private constructor(
    private readonly lockFds: readonly number[],
    /** Holds the shared lock; a child that inherits it holds it too. */
    readonly generationFd: number,
    /** Zygote and helpers hold a shared lock on this file until they end. */
    readonly generationFile: string,
    private readonly helpersFile: string,
  ) {}

  static async acquire({ dataRoot, execRoot }: { dataRoot: string; execRoot: string }): Promise<Fence> {
    fs.mkdirSync(dataRoot, { recursive: true, mode: 0o711 })
    fs.mkdirSync(execRoot, { recursive: true, mode: 0o711 })
    const dataFd = own(dataRoot, 'data root', 'data-root')
    let execFd: number
    try {
      // Its ledger and helpers are one daemon's too, and would be taken for those of a dead one.
      execFd = own(execRoot, 'exec root', 'exec-root')
    } catch (error) {
      fs.closeSync(dataFd)
      throw error
    }
    const helpersFile = path.join(execRoot, 'helpers')
    const generationFile = path.join(execRoot, 'generation')
    const generationFd = fs.openSync(generationFile, 'a+', 0o600)
    if (!(await lockWithin(generationFd, patienceMs))) {
      killRecorded(readHelpers(helpersFile))
      if (!(await lockWithin(generationFd, killedMs)))
        throw systemError(`helpers of an earlier daemon still run on ${execRoot} and could not be ended: see ${helpersFile}`)
    }
    fs.writeFileSync(helpersFile, '', { mode: 0o600 })
    flock(generationFd, 'shared')
    return new Fence([execFd, dataFd], generationFd, generationFile, helpersFile)
  }

  /** So that a successor can end exactly this process if it outlives us. */
  recordHelper(pid: number): void {
    fs.appendFileSync(this.helpersFile, `${pid} ${startTimeOf(pid) ?? ''} ${bootId()}\n`)
  }

  release(): void {
    fs.closeSync(this.generationFd)
    for (const fd of this.lockFds) fs.closeSync(fd)
  }
}
