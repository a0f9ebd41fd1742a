import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { TestDaemon } from '../fixtures/daemon.js'
import { missing } from '../fixtures/root.js'
import { actualWorld, type World } from '../fixtures/world.js'

process.env['DOCKER_BUILDKIT'] = '0'
const lacking = missing('root', 'busybox', 'docker', 'ip', 'nft')
const cutTest = (name: string, body: (t: ExecutionContext) => Promise<void>): void => {
  if (lacking !== undefined) test.skip(`${name} [needs ${lacking}]`, body)
  else test.serial(name, body)
}

const names = (dir: string): string[] => (fs.existsSync(dir) ? fs.readdirSync(dir) : [])
/** Files that a build has while it runs. */
const leftovers = (d: TestDaemon): string[] => [
  ...names(path.join(d.dataRoot, 'builds/work')),
  ...names(path.join(d.execRoot, 'builds')),
  // What was not downloaded to its end is kept there to go on with.
  ...names(path.join(d.dataRoot, 'content/ingest')).filter((name) => name !== 'partial'),
  ...names(path.join(d.execRoot, 'rootfs')),
]

function context(d: TestDaemon, dockerfile: string): string {
  const dir = fs.mkdtempSync(path.join(d.dir, 'context-'))
  fs.writeFileSync(path.join(dir, 'Dockerfile'), dockerfile)
  fs.writeFileSync(path.join(dir, 'data'), Buffer.alloc(300_000, 'x'))
  return dir
}

const start = (d: TestDaemon, dir: string, ...args: string[]) => spawn('docker', ['build', ...args, dir], { env: d.env(), stdio: 'ignore' })

async function until(t: ExecutionContext, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await holds()) {
      t.pass()
      return
    }
    await sleep(25)
  }
  t.fail(`never came true: ${what}`)
}

/** Links die with their namespaces some milliseconds later, removed layers are deleted in the background. */
async function settled(t: ExecutionContext, d: TestDaemon, before: World): Promise<void> {
  let actual = await actualWorld(d)
  for (let attempt = 0; attempt < 100 && JSON.stringify(actual) !== JSON.stringify(before); attempt++) {
    await sleep(50)
    actual = await actualWorld(d)
  }
  t.deepEqual(actual, before)
}

async function withDaemon(t: ExecutionContext, body: (d: TestDaemon) => Promise<void>): Promise<void> {
  t.timeout(240_000)
  const d = await TestDaemon.start()
  try {
    await d.loadBusybox()
    await body(d)
  } catch (error) {
    t.log(d.log.slice(-4000))
    throw error
  } finally {
    await d.destroy()
  }
}

cutTest('a client that goes away cancels its build, and nothing remains', async (t) => {
  await withDaemon(t, async (d) => {
    const before = await actualWorld(d)
    const dir = context(
      d,
      'FROM busybox AS o\nRUN echo x > /x\nFROM busybox\nVOLUME /v\nRUN --mount=type=bind,from=o,target=/o --mount=type=secret,id=s sleep 1000\n',
    )
    const client = start(d, dir)
    await until(t, 'the step runs', async () => (await d.ok('ps', '-q')) !== '')
    const exited = new Promise((resolve) => client.once('exit', resolve))
    client.kill('SIGKILL')
    await exited
    await until(t, 'its container is gone', async () => (await d.ok('ps', '-aq')) === '')
    await until(t, 'its files are gone', () => leftovers(d).length === 0)
    const ids = (await d.ok('images', '-aq', '--no-trunc', '--filter', 'since=busybox')).split('\n').filter(Boolean)
    for (const id of ids) await d.docker('rmi', '-f', id)
    await settled(t, d, before)
  })
})

cutTest('a daemon that is stopped cancels its builds first', async (t) => {
  await withDaemon(t, async (d) => {
    const client = start(d, context(d, 'FROM busybox\nRUN trap "" TERM; sleep 1000\n'))
    const exited = new Promise((resolve) => client.once('exit', resolve))
    await until(t, 'the step runs', async () => (await d.ok('ps', '-q')) !== '')
    await d.signal('SIGTERM')
    t.not(await exited, 0)
    await d.boot()
    t.is(await d.ok('ps', '-aq'), '')
    t.deepEqual(leftovers(d), [])
  })
})

cutTest('a daemon killed at any moment of a build leaves no half image, no container and no mount', async (t) => {
  await withDaemon(t, async (d) => {
    const before = await actualWorld(d)
    const dockerfile = (round: number): string =>
      [
        `FROM busybox AS a`,
        `RUN echo a${round} > /a && dd if=/dev/zero of=/big bs=64k count=16 2>/dev/null`,
        'FROM busybox',
        `ENV ROUND=${round}`,
        'COPY data /data',
        'COPY --from=a /a /big /from/',
        'RUN --mount=type=bind,from=a,target=/o --mount=type=cache,target=/c cat /o/a > /b && echo $ROUND >> /c/rounds',
        'CMD cat /b',
        '',
      ].join('\n')
    for (let round = 0; round < 8; round++) {
      const client = start(d, context(d, dockerfile(round)), '-t', 'killed')
      const exited = new Promise((resolve) => client.once('exit', resolve))
      await sleep(120 + round * 70)
      await d.killAndRestart()
      client.kill('SIGKILL')
      await exited
      t.is(await d.ok('ps', '-aq'), '', `round ${round}`)
      t.deepEqual(leftovers(d), [], `round ${round}`)
      // Whatever image is there is whole.
      for (const id of (await d.ok('images', '-aq')).split('\n')) t.is(await d.ok('run', '--rm', '--entrypoint', 'true', id), '')
    }
    t.is((await d.docker('build', '-q', '-t', 'killed', context(d, dockerfile(0)))).code, 0)
    t.is(await d.ok('run', '--rm', 'killed'), 'a0')
    await d.ok('rmi', 'killed')
    for (const id of (await d.ok('images', '-q', '--no-trunc', '--filter', 'dangling=true')).split('\n').filter(Boolean))
      await d.ok('rmi', id)
    await settled(t, d, before)
  })
})
