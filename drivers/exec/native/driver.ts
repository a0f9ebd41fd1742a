import fs from 'node:fs/promises'
import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import {
  conflict,
  invalidParameter,
  messageOf,
  notFound,
  type ContainerBundle,
  type ContainerState,
  type ContainerStats,
  type DriverContext,
  type ExecDriver,
  type ExecFeatures,
  type OciDeviceRule,
  type OciProcess,
  type OciResources,
  type OciSeccomp,
  type ShimSpec,
  type StartedProcess,
} from 'tsd-engine/sdk'
import { attachDeviceProgram, deviceProgram, encodePlan, readCgroupLayout, type CgroupLayout, type HostOp } from 'tsd-engine/native'
import { checkCgroupsPath, type CgroupPaths } from './cgroups.js'
import { composeContainer, composeExec } from './compose.js'
import { freeze, isFrozen } from './freezer.js'
import { CgroupParents } from './parents.js'
import { SeccompFilters, type SeccompFilter } from './seccomp.js'
import { signalProcess } from './signals.js'
import { checkId, startTimeOf, StateDir, type StoredContainer } from './state.js'
import { processesBelow, readStats } from './stats.js'
import { updateLimits } from './update.js'

const SIGKILL = 9
const ESRCH = 3
const ENOENT = 2
const HELPER_DEADLINE = 10_000
const CGROUP_RETRY = 5_000

interface Known {
  stored: StoredContainer
  /** undefined: it is over. */
  process: StartedProcess | undefined
}

/** Runs containers through the zygote: one plan each. What it remembers is a cache of its run directory. */
export class NativeExec implements ExecDriver {
  readonly #ctx: DriverContext
  readonly #state: StateDir
  readonly #filters: SeccompFilters
  readonly #layout: CgroupLayout | undefined
  readonly #parents: CgroupParents | undefined
  readonly #known = new Map<string, Known>()
  readonly #launching = new Map<string, Promise<StartedProcess>>()

  constructor(ctx: DriverContext, layout: CgroupLayout | undefined = readCgroupLayout()) {
    this.#ctx = ctx
    this.#state = new StateDir(ctx.runDir)
    this.#filters = new SeccompFilters(ctx.dataDir, ctx.spawner)
    this.#layout = layout
    this.#parents = layout && new CgroupParents(layout)
  }

  features(): Promise<ExecFeatures> {
    return Promise.resolve({
      ociVersionMin: '1.0.0',
      ociVersionMax: '1.2.1',
      version: '0.1.0',
      capabilities: { pause: true, update: true, exec: true, stats: true, checkpoint: false },
    })
  }

  async warm(seccomp: OciSeccomp): Promise<void> {
    await this.#filters.get(seccomp)
    if (this.#parents) await this.#parents.prepare(this.#ctx.daemon.cgroupParent)
  }

  run(container: ContainerBundle): Promise<StartedProcess> {
    return this.#launch(container, false)
  }

  create(container: ContainerBundle): Promise<StartedProcess> {
    return this.#launch(container, true)
  }

  #launch(container: ContainerBundle, park: boolean): Promise<StartedProcess> {
    const id = checkId(container.id)
    const pending = this.#launching.get(id)
    if (pending) return pending
    const known = this.#load(id)
    if (known?.process) return Promise.resolve(known.process)
    if (known) return Promise.reject(conflict(`container ${id} has run already: delete it first`))
    const launched = this.#launchNew(container, park).finally(() => this.#launching.delete(id))
    this.#launching.set(id, launched)
    return launched
  }

  async #launchNew(container: ContainerBundle, park: boolean): Promise<StartedProcess> {
    const { id, spec } = container
    const profile = spec.linux.seccomp
    const filter = profile && (this.#filters.ready(profile) ?? (await this.#filters.get(profile)))
    const cgroupsPath = spec.linux.cgroupsPath === undefined ? undefined : checkCgroupsPath(spec.linux.cgroupsPath)
    const parent = cgroupsPath === undefined ? undefined : path.posix.dirname(cgroupsPath)
    if (parent !== undefined && this.#parents && !this.#parents.ready(parent)) await this.#parents.prepare(parent)
    const { plan, stored } = this.#compose(container, park, filter, cgroupsPath)
    const bytes = encodePlan(plan)
    // Composing and sending together would hold the loop for a millisecond.
    await turn()
    try {
      // Nothing is waited for that need not be: the caller goes on with work of its own once the plan is sent.
      if (stored.cgroups?.version === 2) await this.#deviceRules(stored.cgroups, spec.linux.resources?.devices)
      let started: StartedProcess
      try {
        started = await this.#ctx.spawner.launch(container.shim, bytes)
      } catch (error) {
        // Somebody removed the parent group since.
        if (parent === undefined || !this.#parents || !/\bmkdir\b/.test(messageOf(error)) || !/ENOENT|no such file/i.test(messageOf(error)))
          throw error
        this.#parents.forget(parent)
        await this.#parents.prepare(parent)
        started = await this.#ctx.spawner.launch(container.shim, bytes)
      }
      this.#known.set(id, { stored, process: started })
      return started
    } catch (error) {
      await this.#remove(stored).catch((failure: unknown) =>
        this.#ctx.logger.warn('what a failed start left could not be removed yet', { container: id, error: messageOf(failure) }),
      )
      throw error
    }
  }

  #compose(container: ContainerBundle, park: boolean, filter: SeccompFilter | undefined, cgroupsPath: string | undefined) {
    const { id, spec } = container
    const stored: StoredContainer = {
      version: 1,
      id,
      shimId: container.shim.id,
      namespaces: spec.linux.namespaces.map(({ type }) => type),
      ...(filter ? { filter: { key: filter.key, flags: filter.flags } } : {}),
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      parked: park,
    }
    const { plan, cgroups } = composeContainer({
      bundle: container,
      filter,
      layout: this.#layout,
      at: this.#state.root,
      pidFile: this.#state.pidFile(id),
      stateFile: this.#state.stateFile(id),
      stored,
      park,
    })
    if (cgroups) stored.cgroups = cgroups
    return { plan, stored }
  }

  /** The program must stand on the v2 group before the process is born in it. */
  async #deviceRules(cgroups: CgroupPaths, rules: readonly OciDeviceRule[] | undefined): Promise<void> {
    const [dir] = cgroups.dirs
    if (dir === undefined || !rules) return
    await fs.mkdir(dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    attachDeviceProgram(dir, deviceProgram(rules))
  }

  async start(id: string): Promise<void> {
    const known = this.#need(id)
    if (!known.process) throw conflict(`container ${id} is not running`)
    if (!known.stored.parked || this.#state.started(id)) return
    await this.#ctx.spawner.resume(known.stored.shimId)
    this.#state.markStarted(id)
  }

  exec(id: string, execId: string, process: OciProcess, shim: ShimSpec): Promise<StartedProcess> {
    const key = `${id}/${checkId(execId)}`
    const pending = this.#launching.get(key)
    if (pending) return pending
    const launched = this.#exec(id, execId, process, shim).finally(() => this.#launching.delete(key))
    this.#launching.set(key, launched)
    return launched
  }

  async #exec(id: string, execId: string, process: OciProcess, shim: ShimSpec): Promise<StartedProcess> {
    const known = this.#need(id)
    const pidFile = this.#state.execFile(id, execId)
    const repeated = this.#state.process(pidFile, known.stored.cgroupsPath)
    if (repeated) return repeated
    if (!known.process) throw conflict(`container ${id} is not running`)
    const { stored } = known
    const filter = stored.filter && (await this.#filters.byKey(stored.filter.key, stored.filter.flags))
    await fs.mkdir(this.#state.execDir(id), { recursive: true, mode: 0o700 })
    const plan = composeExec({
      pid: known.process.pid,
      namespaces: stored.namespaces,
      cgroups: stored.cgroups,
      process,
      filter,
      pidFile,
    })
    return this.#ctx.spawner.launch(shim, encodePlan(plan))
  }

  async kill(id: string, signal: number, options: { all?: boolean } = {}): Promise<void> {
    const { stored, process } = this.#need(id)
    if (!Number.isInteger(signal) || signal < 0 || signal > 64) throw invalidParameter(`invalid signal: ${signal}`)
    if (options.all && stored.cgroups) {
      await this.#helper(this.#signalOps(stored.cgroups, signal), `signal container ${id}`)
      return
    }
    if (!process || !signalProcess(process, signal)) throw notFound(`container ${id} is not running`)
  }

  #signalOps(cgroups: CgroupPaths, signal: number): HostOp[] {
    if (cgroups.version === 2 && signal === SIGKILL)
      return [{ op: 'write', path: `${cgroups.dirs[0] ?? ''}/cgroup.kill`, data: '1', ignore: [ENOENT] }]
    const dir = cgroups.byController.freezer ?? cgroups.dirs[0] ?? ''
    return [{ op: 'signalAll', path: `${dir}/cgroup.procs`, signal, ignore: [ENOENT, ESRCH] }]
  }

  async #helper(ops: HostOp[], name: string, deadline = HELPER_DEADLINE): Promise<void> {
    await this.#ctx.spawner.run(encodePlan({ host: ops }), { deadline, name })
  }

  async pause(id: string): Promise<void> {
    const { stored, process } = this.#need(id)
    if (!process) throw conflict(`container ${id} is not running`)
    await freeze(id, stored.cgroups, true)
  }

  async resume(id: string): Promise<void> {
    await freeze(id, this.#need(id).stored.cgroups, false)
  }

  async update(id: string, resources: OciResources): Promise<void> {
    const { cgroups } = this.#need(id).stored
    if (!cgroups) throw invalidParameter(`container ${id} has no cgroups: its limits cannot be changed`)
    await updateLimits(id, cgroups, resources)
  }

  async processes(id: string): Promise<number[]> {
    const { stored, process } = this.#need(id)
    const dir = stored.cgroups?.byController.freezer ?? stored.cgroups?.dirs[0]
    return dir === undefined ? (process ? [process.pid] : []) : processesBelow(dir)
  }

  async stats(id: string): Promise<ContainerStats> {
    const { stored } = this.#need(id)
    return stored.cgroups ? readStats(stored.cgroups) : {}
  }

  async state(id: string): Promise<ContainerState | undefined> {
    const known = this.#load(id)
    if (!known) return undefined
    const { stored, process } = known
    if (!process) return { status: 'stopped', pid: 0 }
    if (stored.parked && !this.#state.started(id)) return { status: 'created', pid: process.pid }
    return { status: (await isFrozen(stored.cgroups)) ? 'paused' : 'running', pid: process.pid }
  }

  async delete(id: string): Promise<void> {
    await this.#launching.get(checkId(id))?.catch(() => undefined)
    const known = this.#load(id)
    if (!known) return this.#state.forget(id)
    if (known.process) {
      if (await isFrozen(known.stored.cgroups)) await freeze(id, known.stored.cgroups, false)
      signalProcess(known.process, SIGKILL)
    }
    await this.#remove(known.stored)
  }

  async #remove(stored: StoredContainer): Promise<void> {
    const { id, cgroups } = stored
    if (cgroups)
      await this.#helper(
        [...this.#signalOps(cgroups, SIGKILL), { op: 'cgroupRemove', paths: cgroups.dirs, retryMs: CGROUP_RETRY }],
        `remove the cgroups of container ${id}`,
        CGROUP_RETRY + HELPER_DEADLINE,
      )
    this.#known.delete(id)
    await this.#state.forget(id)
  }

  list(): Promise<string[]> {
    return this.#state.list()
  }

  #need(id: string): Known {
    const known = this.#load(checkId(id))
    if (!known) throw notFound(`container ${id} is unknown to the native exec driver`)
    return known
  }

  /** Memory first, then disk; a process that is gone is noticed either way. */
  #load(id: string): Known | undefined {
    let known = this.#known.get(id)
    if (!known) {
      const stored = this.#state.read(id)
      if (!stored) return undefined
      known = { stored, process: this.#state.process(this.#state.pidFile(id), stored.cgroupsPath) }
      this.#known.set(id, known)
    } else if (known.process && startTimeOf(known.process.pid) !== known.process.startTime) known.process = undefined
    return known
  }
}
