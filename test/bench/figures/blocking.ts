import { Engine } from '../engine.js'
import type { Group } from '../group.js'
import { imageName } from '../payload.js'

const starts = 200

export const blocking: Group = {
  name: 'blocking',
  about: `synchronous sections over 1 ms in ${starts} starts (tsd --trace-blocking)`,
  figures: [{ name: 'blocking.sections', title: `sections over 1 ms in ${starts} starts`, unit: '', target: { below: 1 } }],
  async run(bench) {
    const engine = await Engine.start('tsd', { flags: ['--trace-blocking'] })
    try {
      await bench.load(engine)
      const cycle = async (): Promise<void> => {
        const id = await engine.client.create(imageName, ['true'])
        await engine.client.start(id)
        await engine.client.wait(id)
        await engine.client.forceRemove(id)
      }
      for (let i = 0; i < 10; i++) await cycle()
      const before = engine.log.length
      for (let i = 0; i < starts; i++) await cycle()
      const sections = engine.log
        .slice(before)
        .split('\n')
        .filter((line) => /blocking|blocked/i.test(line))
      bench.record('blocking.sections', 'tsd', sections.length)
      for (const line of sections.slice(0, 20)) bench.note(line)
      if (sections.length > 20) bench.note(`... and ${sections.length - 20} more`)
    } finally {
      await engine.stop()
    }
  },
}
