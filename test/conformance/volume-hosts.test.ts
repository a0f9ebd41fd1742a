// The volume suite against the bundled local driver in every host: in the daemon, in a process that is killed, behind a Docker plugin socket.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import type { DriverServices } from '../../core/kernel/contexts.js'
import type { PluginHost } from '../../core/kernel/host.js'
import { InProcessHost } from '../../core/kernel/host-in-process.js'
import { ProcessHost } from '../../core/kernel/host-process.js'
import { parseManifest } from '../../core/kernel/manifest.js'
import { PluginClient } from '../../core/sdk/http/client.js'
import { volumeWire } from '../../core/sdk/http/volume.js'
import type { VolumeDriver } from '../../core/sdk/kinds/volume.js'
import type { DriverContext } from '../../core/sdk/ports.js'
import { serveHttp } from '../../core/sdk/serve-http.js'
import { testVolumeDriver, type VolumeSubject } from '../../core/sdk/testing/volume.js'
import { mountsBelow } from '../fixtures/root.js'

const run = promisify(execFile)
const folder = fileURLToPath(new URL('../../drivers/volume/local', import.meta.url))
const manifestFile = path.join(folder, 'package.json')
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

const services = {
  loggerFor: () => silent,
  mounter: {
    unmount: async (target: string) => void (mountsBelow(target).length > 0 && (await run('umount', [target]))),
    mounted: (target: string) => Promise.resolve(mountsBelow(target).includes(target)),
  },
  archiver: { remove: (target: string) => fs.promises.rm(target, { recursive: true }) },
} as unknown as DriverServices

type Life = (dir: string, ctx: DriverContext) => Promise<{ driver(): Promise<VolumeDriver>; end(): Promise<void> }>

function subject(life: Life): () => Promise<VolumeSubject> {
  return async () => {
    const dir = fs.mkdtempSync('/tmp/kernel-volume-')
    const [dataDir, runDir] = [path.join(dir, 'data'), path.join(dir, 'run')]
    fs.mkdirSync(dataDir)
    fs.mkdirSync(runDir)
    const ctx = {
      name: 'local',
      dataDir,
      runDir,
      options: {},
      logger: silent,
      daemon: {},
      mounter: services.mounter,
      archiver: services.archiver,
    } as unknown as DriverContext
    const { driver, end } = await life(dir, ctx)
    return {
      driver,
      remove: async () => {
        await end()
        await fs.promises.rm(dir, { recursive: true, force: true })
      },
    }
  }
}

const manifest = (isolation: string) =>
  parseManifest(
    JSON.stringify({
      ...(JSON.parse(fs.readFileSync(manifestFile, 'utf8')) as { tsd: object }),
      tsd: { isolation, kinds: [{ kind: 'volume', name: 'local' }] },
    }),
    manifestFile,
  )
const load = () => Promise.resolve(folder)

const inProcess: Life = async (_dir, ctx) => {
  const host: PluginHost = new InProcessHost(manifest('in-process'), load)
  const hosted = await host.driver('volume', 'local')
  return { driver: () => hosted.create(ctx), end: () => host.dispose() }
}

const killed: Life = async (dir, ctx) => {
  const pids: number[] = []
  const host = new ProcessHost(manifest('process'), load, {
    directory: path.join(dir, 'hosts'),
    services,
    logger: silent,
    onStart: (pid) => pids.push(pid),
  })
  const hosted = await host.driver('volume', 'local')
  const driver = await hosted.create(ctx)
  let calls = 0
  return {
    // The process is killed before every seventh call; whoever holds the driver does not notice.
    driver: () => {
      if (++calls % 7 === 0) process.kill(pids.at(-1) as number, 'SIGKILL')
      return Promise.resolve(driver)
    },
    end: () => host.dispose(),
  }
}

const served: Life = async (dir, ctx) => {
  const host = new InProcessHost(manifest('in-process'), load)
  const driver = await (await host.driver('volume', 'local')).create(ctx)
  const socket = path.join(dir, 'local.sock')
  const server = await serveHttp({ drivers: { volume: driver }, socket })
  const client = new PluginClient({ name: 'local', address: { socket } })
  return {
    driver: () => Promise.resolve(volumeWire.client(client.caller('VolumeDriver', 'Err', true))),
    end: async () => {
      await client.close()
      await server.close()
    },
  }
}

for (const [name, life] of [
  ['in the daemon', inProcess],
  ['in a process that is killed', killed],
  ['behind a plugin socket', served],
] as const) {
  testVolumeDriver((title, body) => test.serial(`${name}: ${title}`, async (t) => t.notThrowsAsync(body)), subject(life))
}
