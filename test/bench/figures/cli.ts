import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Engine } from '../engine.js'
import type { Group } from '../group.js'
import { imageName } from '../payload.js'

const run = promisify(execFile)

async function docker(engine: Engine, ...args: string[]): Promise<number> {
  const env = { ...process.env, DOCKER_HOST: `unix://${engine.socket}`, DOCKER_CONFIG: path.join(engine.dir, 'docker-config') }
  const began = performance.now()
  await run('docker', args, { env, timeout: 60_000 })
  return performance.now() - began
}

export const cli: Group = {
  name: 'cli',
  about: 'docker run --rm IMG true on a bridge, with the docker CLI',
  figures: [
    { name: 'cli.run', title: 'docker run --rm IMG true, bridge', unit: 'ms', target: { ratio: 8 } },
    { name: 'cli.alone', title: 'of that, the CLI alone (docker version)', unit: 'ms' },
  ],
  async run(bench) {
    await bench.alternate(bench.rounds(20), async (engine) => {
      bench.record('cli.run', engine.name, await docker(engine, 'run', '--rm', imageName, 'true'))
      bench.record('cli.alone', engine.name, await docker(engine, 'version', '--format', '{{.Server.Version}}'))
    })
  },
}
