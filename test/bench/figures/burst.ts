import { concurrently } from '../bench.js'
import type { Group } from '../group.js'
import { imageName } from '../payload.js'

const containers = 50
const width = 10

export const burst: Group = {
  name: 'burst',
  about: `${containers} containers at concurrency ${width}: start, force-remove`,
  figures: [
    { name: 'burst.start', title: `${containers} containers, ${width} at a time: create and start`, unit: 'ms', target: { ratio: 6 } },
    { name: 'burst.remove', title: `${containers} containers, ${width} at a time: force-remove`, unit: 'ms', target: { ratio: 6 } },
  ],
  async run(bench) {
    await bench.alternate(bench.rounds(3), async ({ client, name }) => {
      const ids: string[] = []
      let began = performance.now()
      await concurrently(containers, width, async () => {
        const id = await client.create(imageName, ['pause'])
        ids.push(id)
        await client.start(id)
      })
      bench.record('burst.start', name, performance.now() - began)
      began = performance.now()
      await concurrently(containers, width, (index) => client.forceRemove(ids[index] as string))
      bench.record('burst.remove', name, performance.now() - began)
    })
  },
}
