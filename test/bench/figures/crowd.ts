import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { concurrently, type Bench } from '../bench.js'
import { Engine, type EngineName } from '../engine.js'
import { median, quantile } from '../figure.js'
import type { Group } from '../group.js'
import { imageName, payloadClient } from '../payload.js'
import { packageRoot } from '../places.js'
import { parentOf, pss, totalPss } from '../processes.js'

const few = 10
const many = 100

class Crowd {
  private readonly ids: string[] = []
  private readonly collected: string

  private constructor(
    private readonly bench: Bench,
    private readonly engine: Engine,
    collected: string,
  ) {
    this.collected = collected
  }

  static async start(bench: Bench, name: EngineName): Promise<Crowd> {
    const collected = path.join(bench.dir, 'collected')
    process.env.TSD_BENCH_COLLECTED = collected
    const nodeFlags = ['--expose-gc', '--import', path.join(packageRoot, 'dist/test/bench/collect.js')]
    const engine = await Engine.start(name, { nodeFlags })
    const crowd = new Crowd(bench, engine, collected)
    await bench.load(engine)
    return crowd
  }

  async grow(to: number): Promise<void> {
    await concurrently(to - this.ids.length, 5, async () => {
      const id = await this.engine.client.create(imageName, ['pause'])
      await this.engine.client.start(id)
      this.ids.push(id)
    })
    await sleep(2000)
  }

  /** The daemon (dockerd: with containerd), its garbage collected where the bench can ask for it. Shims count as containers. */
  async daemonPss(shims: Set<number>): Promise<number> {
    if (this.engine.name === 'tsd') {
      fs.rmSync(this.collected, { force: true })
      process.kill(this.engine.pid, 'SIGUSR2')
      while (!fs.existsSync(this.collected)) await sleep(10)
      const { heapUsed, external, rss } = JSON.parse(fs.readFileSync(this.collected, 'utf8')) as NodeJS.MemoryUsage
      this.bench.say(`  ${this.ids.length} containers: heap ${heapUsed >> 10} kB, external ${external >> 10} kB, rss ${rss >> 10} kB`)
      return pss(this.engine.pid)
    }
    return totalPss(this.engine.processes.filter((pid) => !shims.has(pid)))
  }

  /** The parents of the containers' init processes. */
  async shims(): Promise<Set<number>> {
    const shims = new Set<number>()
    for (const id of this.ids) {
      const { State } = (await this.engine.client.ask('GET', `/containers/${id}/json`)).json<{ State: { Pid: number } }>()
      shims.add(parentOf(State.Pid))
    }
    return shims
  }

  list(payload: string, count: number): Promise<number[]> {
    return payloadClient<number[]>(payload, 'repeat', this.engine.socket, '/v1.41/containers/json?all=1', String(count))
  }

  async stop(): Promise<void> {
    await concurrently(this.ids.length, 10, (index) => this.engine.client.forceRemove(this.ids[index] as string))
    await this.engine.stop()
  }
}

export const crowd: Group = {
  name: 'crowd',
  about: `${many} idle containers: memory, /containers/json`,
  figures: [
    { name: 'crowd.shim', title: 'shim, PSS', unit: 'kB', target: { below: 64 } },
    { name: 'crowd.growth', title: `daemon growth a container, ${few} to ${many}, after GC`, unit: 'kB', target: { below: 100 } },
    { name: 'list.p50', title: `/containers/json, ${many} containers, p50`, unit: 'ms', target: 'at or below dockerd' },
    { name: 'list.p99', title: `/containers/json, ${many} containers, p99`, unit: 'ms' },
  ],
  async run(bench) {
    const crowds: Partial<Record<EngineName, Crowd>> = {}
    try {
      for (const name of ['tsd', 'dockerd'] satisfies EngineName[]) {
        const crowd = (crowds[name] = await Crowd.start(bench, name))
        await crowd.grow(few)
        const before = await crowd.daemonPss(await crowd.shims())
        await crowd.grow(many)
        const shims = await crowd.shims()
        const after = await crowd.daemonPss(shims)
        bench.record('crowd.growth', name, (after - before) / (many - few))
        for (const shim of shims) bench.record('crowd.shim', name, pss(shim))
      }
      for (let round = 0; round < bench.rounds(5); round++) {
        for (const name of ['tsd', 'dockerd'] satisfies EngineName[]) {
          const times = (await crowds[name]?.list(bench.payload, 200)) ?? []
          bench.record('list.p50', name, median(times))
          bench.record('list.p99', name, quantile(times, 0.99))
        }
      }
    } finally {
      for (const crowd of Object.values(crowds)) await crowd.stop()
    }
  },
}
