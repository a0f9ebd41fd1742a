import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { daemonNodeFlags } from '../../core/cli/local.js'
import { Client } from './client.js'
import { addNetworkNamespace, packageRoot, removeCgroup, removeDirectory, removeNetworkNamespace } from './places.js'
import { descendants } from './processes.js'

export type EngineName = 'tsd' | 'dockerd'

export interface EngineOptions {
  /** Flags of the daemon's Node (tsd only). */
  nodeFlags?: string[]
  /** Flags of the daemon. */
  flags?: string[]
  /** The Node that runs the daemon: a copy of its own shares no page with other Nodes. */
  node?: string
}

/** An engine of its own: data root, run root, socket, cgroup parent and network namespace, gone after stop(). */
export class Engine {
  readonly dir: string
  readonly socket: string
  readonly client: Client
  private readonly netns: string
  private readonly cgroup: string
  private child: ChildProcess | undefined
  /** What dockerd makes outside its own directories, as far as it was not there before. */
  private readonly strays = ['/etc/docker/key.json', '/run/docker/plugins', '/run/docker', '/run/containerd/s', '/run/containerd'].filter(
    (place) => !fs.existsSync(place),
  )

  private constructor(
    readonly name: EngineName,
    private readonly options: EngineOptions,
  ) {
    const id = randomBytes(3).toString('hex')
    this.dir = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), `tsd-bench-${name}-`))
    this.socket = path.join(this.dir, 's.sock')
    this.client = new Client(this.socket)
    this.netns = `tsd-bench-${id}`
    this.cgroup = name === 'tsd' ? `/tsd-bench-${id}` : '/tsd-bench-docker'
  }

  static async start(name: EngineName, options: EngineOptions = {}): Promise<Engine> {
    const engine = new Engine(name, options)
    try {
      engine.mountRunRoot()
      addNetworkNamespace(engine.netns)
      await engine.boot()
      return engine
    } catch (error) {
      await engine.stop()
      throw error
    }
  }

  get pid(): number {
    if (this.child?.pid === undefined) throw new Error(`${this.name} does not run`)
    return this.child.pid
  }

  get log(): string {
    return fs.readFileSync(path.join(this.dir, 'log'), 'utf8')
  }

  /** The daemon and everything below it: helpers, containerd. Shims are not below it. */
  get processes(): number[] {
    return [this.pid, ...descendants(this.pid)]
  }

  /** On a tmpfs, as /run is: containers of build machines often have it on disk. */
  private mountRunRoot(): void {
    const target = path.join(this.dir, 'run')
    fs.mkdirSync(target)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'tsd-bench', target])
  }

  private command(): string[] {
    const config = path.join(this.dir, 'daemon.json')
    const dataRoot = path.join(this.dir, 'data')
    const execRoot = path.join(this.dir, 'run')
    const host = `unix://${this.socket}`
    const shared = [
      '--config-file',
      config,
      '--data-root',
      dataRoot,
      '--exec-root',
      execRoot,
      '-H',
      host,
      '--pidfile',
      path.join(this.dir, 'pid'),
      ...(this.options.flags ?? []),
    ]
    if (this.name === 'tsd') {
      fs.writeFileSync(config, JSON.stringify({ 'cgroup-parent': this.cgroup }))
      const node = this.options.node ?? process.execPath
      return [node, ...daemonNodeFlags, ...(this.options.nodeFlags ?? []), path.join(packageRoot, 'dist/core/daemon/main.js'), ...shared]
    }
    fs.writeFileSync(config, '{}')
    if (fs.existsSync('/run/containerd/containerd.sock'))
      throw new Error("a containerd of the system runs, and dockerd would use it: 'systemctl stop docker docker.socket containerd' first")
    return ['dockerd', ...shared, '--cgroup-parent', this.cgroup, '--storage-driver', 'overlay2']
  }

  private async boot(): Promise<void> {
    const log = fs.openSync(path.join(this.dir, 'log'), 'a')
    const began = Date.now()
    // nsenter's own exec leaves the mount namespace alone, unlike `ip netns exec`.
    const child = spawn('nsenter', [`--net=/run/netns/${this.netns}`, ...this.command()], { stdio: ['ignore', log, log], detached: true })
    fs.closeSync(log)
    this.child = child
    let ended: string | undefined
    child.once('exit', (code, signal) => (ended = String(signal ?? code)))
    child.once('error', (error) => (ended = error.message))
    for (;;) {
      const up = await this.client.request('GET', '/_ping').then(
        ({ status }) => status === 200,
        () => false,
      )
      if (up) return
      if (ended !== undefined) throw new Error(`${this.name} ended (${ended}):\n${this.log.slice(-4000)}`)
      if (Date.now() - began > 60_000) throw new Error(`${this.name} does not answer:\n${this.log.slice(-4000)}`)
      await sleep(20)
    }
  }

  /** Ends the daemon and removes all that it and its containers leave. */
  async stop(): Promise<void> {
    this.client.close()
    const child = this.child
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      const helpers = descendants(this.pid)
      child.kill('SIGTERM')
      await Promise.race([gone, sleep(30_000, undefined, { ref: false }).then(() => child.kill('SIGKILL'))])
      await gone
      await ended(helpers)
    }
    await removeCgroup(this.cgroup)
    removeNetworkNamespace(this.netns)
    removeDirectory(this.dir)
    if (this.name === 'dockerd') for (const place of this.strays) removeIfEmpty(place)
  }
}

function removeIfEmpty(place: string): void {
  try {
    if (fs.statSync(place).isDirectory()) fs.rmdirSync(place)
    else fs.unlinkSync(place)
  } catch {
    // Not made, or somebody else uses it now.
  }
}

/** A killed daemon's helpers notice by themselves; those that do not are ended. */
async function ended(pids: number[]): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (!pids.some((pid) => fs.existsSync(`/proc/${pid}`))) return
    await sleep(20)
  }
}
