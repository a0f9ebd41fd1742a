import fs from 'node:fs'
import path from 'node:path'
import { invalidParameter, type StartedProcess } from 'tsd-engine/sdk'
import type { CgroupPaths } from './cgroups.js'

/** What is on disk before anything of the container exists. */
export interface StoredContainer {
  version: 1
  id: string
  shimId: string
  /** Namespaces that are not the host's. */
  namespaces: string[]
  cgroups?: CgroupPaths
  /** To recognise a process of the container after its pid may have been reused. */
  cgroupsPath?: string
  filter?: { key: string; flags: number }
  /** Parked until start(). */
  parked: boolean
}

const idSyntax = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/

export function checkId(id: string): string {
  if (!idSyntax.test(id)) throw invalidParameter(`invalid container id "${id}"`)
  return id
}

/** Field 22 of /proc/PID/stat; undefined when there is no such process, or a zombie. */
export function startTimeOf(pid: number): string | undefined {
  let text: string
  try {
    text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function inCgroup(pid: number, cgroupsPath: string | undefined): boolean {
  if (cgroupsPath === undefined) return true
  try {
    return fs
      .readFileSync(`/proc/${pid}/cgroup`, 'utf8')
      .split('\n')
      .some((line) => line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1).startsWith(cgroupsPath))
  } catch {
    return false
  }
}

/**
 * The driver's run directory: `state/ID`, `pid/ID` (written by the shim), `started/ID` (a mark), `exec/ID/EXECID` (pids). On tmpfs: a reboot ends both the
 * containers and what is known of them.
 */
export class StateDir {
  readonly root: string
  readonly #dir: string

  constructor(runDir: string) {
    this.#dir = runDir
    this.root = path.join(runDir, 'root')
    for (const name of ['state', 'pid', 'started', 'exec', 'root']) fs.mkdirSync(path.join(runDir, name), { recursive: true, mode: 0o700 })
  }

  stateFile = (id: string): string => `${this.#dir}/state/${id}`
  pidFile = (id: string): string => `${this.#dir}/pid/${id}`
  startedFile = (id: string): string => `${this.#dir}/started/${id}`
  execDir = (id: string): string => `${this.#dir}/exec/${id}`
  execFile = (id: string, execId: string): string => `${this.#dir}/exec/${id}/${execId}`

  read(id: string): StoredContainer | undefined {
    // Before most starts there is none: looking is cheaper than an exception.
    if (!fs.existsSync(this.stateFile(id))) return undefined
    try {
      return JSON.parse(fs.readFileSync(this.stateFile(id), 'utf8')) as StoredContainer
    } catch {
      return undefined
    }
  }

  /** The live process that a pid file names. */
  process(file: string, cgroupsPath: string | undefined): StartedProcess | undefined {
    let pid: number
    try {
      pid = Number.parseInt(fs.readFileSync(file, 'latin1'), 10)
    } catch {
      return undefined
    }
    if (!(pid > 0)) return undefined
    const startTime = startTimeOf(pid)
    return startTime !== undefined && inCgroup(pid, cgroupsPath) ? { pid, startTime } : undefined
  }

  started(id: string): boolean {
    return fs.existsSync(this.startedFile(id))
  }

  markStarted(id: string): void {
    fs.writeFileSync(this.startedFile(id), '')
  }

  list(): Promise<string[]> {
    return fs.promises.readdir(`${this.#dir}/state`)
  }

  async forget(id: string): Promise<void> {
    await Promise.all([
      fs.promises.rm(this.execDir(id), { recursive: true, force: true }),
      unlinkIfThere(this.pidFile(id)),
      unlinkIfThere(this.startedFile(id)),
    ])
    // Last: until then a repeated delete finds what is left.
    await unlinkIfThere(this.stateFile(id))
  }
}

async function unlinkIfThere(file: string): Promise<void> {
  await fs.promises.unlink(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}
