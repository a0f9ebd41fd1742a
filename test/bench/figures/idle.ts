import { copyFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Engine, type EngineName } from '../engine.js'
import type { Group } from '../group.js'
import { nameOf, pss, totalPss } from '../processes.js'

export const idle: Group = {
  name: 'idle',
  about: 'memory of a fresh daemon, alone',
  figures: [
    { name: 'idle.pss', title: 'idle daemon with its helpers, fresh', unit: 'kB', target: 'at or below dockerd' },
    { name: 'idle.boot', title: 'boot: exec to /_ping answered', unit: 'ms' },
  ],
  async run(bench) {
    await bench.stopPair()
    // The bench is a Node too: pages that both map would count half.
    const node = path.join(bench.dir, 'node')
    await copyFile(process.execPath, node)
    for (let round = 0; round < bench.rounds(3); round++) {
      for (const name of ['tsd', 'dockerd'] satisfies EngineName[]) {
        const began = performance.now()
        const engine = await Engine.start(name, { node })
        bench.record('idle.boot', name, performance.now() - began)
        try {
          await sleep(3000)
          bench.record('idle.pss', name, totalPss(engine.processes))
          if (round === 0) bench.note(`${name}: ${engine.processes.map((pid) => `${nameOf(pid)} ${pss(pid)} kB`).join(', ')}`)
        } finally {
          await engine.stop()
        }
      }
    }
  },
}
