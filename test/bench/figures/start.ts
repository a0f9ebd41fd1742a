import { setTimeout as sleep } from 'node:timers/promises'
import { DeathWatch } from '../client.js'
import type { Engine } from '../engine.js'
import type { Group } from '../group.js'
import { imageName } from '../payload.js'

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

export const start: Group = {
  name: 'start',
  about: 'the API calls of one container, bridge',
  figures: [
    { name: 'api.create', title: 'API create', unit: 'ms' },
    { name: 'api.start', title: 'API start, bridge: request to 204', unit: 'ms', target: { ratio: 20 } },
    { name: 'api.remove', title: 'API force-remove of a running container', unit: 'ms' },
  ],
  async run(bench) {
    await bench.alternate(bench.rounds(30), async ({ client, name }) => {
      let id = ''
      bench.record('api.create', name, await timed(async () => (id = await client.create(imageName, ['pause']))))
      bench.record('api.start', name, await timed(() => client.start(id)))
      bench.record('api.remove', name, await timed(() => client.forceRemove(id)))
    })
  },
}

/** Some engines refuse for a moment after their own `die` event. */
async function remove(engine: Engine, id: string): Promise<void> {
  for (;;) {
    const { status, body } = await engine.client.request('DELETE', `/containers/${id}`)
    if (status === 204) return
    if (status !== 409) throw new Error(`delete: ${status} ${body.toString()}`)
    await sleep(1)
  }
}

export const exit: Group = {
  name: 'exit',
  about: 'from start accepted to the exit event, bridge and ledger included; cleanup apart',
  figures: [
    { name: 'exit.event', title: 'start accepted to `die` event, bridge', unit: 'ms', target: { below: 6 } },
    { name: 'exit.cleanup', title: 'cleanup: from that event to delete`s 204', unit: 'ms' },
  ],
  async run(bench) {
    const { tsd, dockerd } = await bench.pair()
    const watches = { tsd: await DeathWatch.open(tsd.socket), dockerd: await DeathWatch.open(dockerd.socket) }
    try {
      await bench.alternate(bench.rounds(30), async (engine) => {
        const id = await engine.client.create(imageName, ['true'])
        const death = watches[engine.name].death(id)
        const began = performance.now()
        await Promise.all([engine.client.start(id), death])
        const died = await death
        bench.record('exit.event', engine.name, died - began)
        await remove(engine, id)
        bench.record('exit.cleanup', engine.name, performance.now() - died)
      })
    } finally {
      watches.tsd.close()
      watches.dockerd.close()
    }
  },
}
