import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestDaemon } from '../fixtures/daemon.js'
import { residentMb } from '../fixtures/hostile.js'
import { daemonSuite } from '../fixtures/suite.js'
import { actualWorld, type World } from '../fixtures/world.js'

const daemonTest = daemonSuite()
const CYCLES = 1000
const LANES = 4

interface Footprint {
  fds: number
  ledgerBytes: number
  hostLinks: number
  zygoteChildren: number
  zygoteFds: number
  helpers: string[]
  content: string[]
  ports: number
}

const count = (dir: string): number => fs.readdirSync(dir).length

function children(pid: number): number[] {
  const tasks = fs.readdirSync(`/proc/${pid}/task`)
  return tasks.flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
}

async function footprint(d: TestDaemon): Promise<Footprint> {
  const zygotes = children(d.pid).filter((pid) => fs.readlinkSync(`/proc/${pid}/exe`).includes('tsd-shim'))
  return {
    fds: count(`/proc/${d.pid}/fd`),
    ledgerBytes: fs.statSync(path.join(d.execRoot, 'ledger')).size,
    hostLinks: (JSON.parse((await d.host('ip', '-j', 'link')).stdout) as unknown[]).length,
    zygoteChildren: zygotes.flatMap(children).length,
    zygoteFds: zygotes.reduce((sum, pid) => sum + count(`/proc/${pid}/fd`), 0),
    helpers: fs.readdirSync(d.execRoot).sort(),
    content: fs.readdirSync(path.join(d.dataRoot, 'content/ingest')),
    ports: fs.readFileSync(`/proc/${d.pid}/net/tcp`, 'utf8').split('\n').length,
  }
}

async function cycle(d: TestDaemon, index: number): Promise<string> {
  const body = {
    Image: 'busybox',
    Cmd: ['true'],
    HostConfig: {
      Binds: ['/anonymous', 'named:/named'],
      PortBindings: { '80/tcp': [{ HostPort: index % 4 === 0 ? String(20_000 + (index % 400)) : '' }] },
    },
  }
  const created = await d.api('POST', '/containers/create', body)
  if (created.status !== 201) return `create: ${created.status} ${created.body.toString()}`
  const id = created.json<{ Id: string }>().Id
  const started = await d.api('POST', `/containers/${id}/start`)
  if (started.status !== 204) return `start: ${started.status} ${started.body.toString()}`
  const removed = await d.api('DELETE', `/containers/${id}?force=1&v=1`)
  return removed.status === 204 ? '' : `delete: ${removed.status} ${removed.body.toString()}`
}

async function cycles(d: TestDaemon, times: number): Promise<string[]> {
  let next = 0
  const failures: string[] = []
  const lane = async (): Promise<void> => {
    while (next < times) {
      const failure = await cycle(d, next++)
      if (failure !== '') failures.push(failure)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return failures
}

/** What is there once nothing changes any more; what follows a 204 may take a moment. */
async function settled(d: TestDaemon): Promise<{ world: World; foot: Footprint }> {
  let last = ''
  for (let i = 0; i < 50; i += 1) {
    const now = { world: await actualWorld(d), foot: await footprint(d) }
    const text = JSON.stringify(now)
    if (text === last) return now
    last = text
    await sleep(200)
  }
  throw new Error(`the daemon does not come to rest: ${last}`)
}

daemonTest(`${CYCLES} create, start, remove leave no backlog and no growth`, async (t, d) => {
  t.timeout(240_000)
  t.deepEqual(await cycles(d, 200), [])
  const before = await settled(d)
  const memory = residentMb(d.pid)
  const began = Date.now()
  t.deepEqual(await cycles(d, CYCLES), [])
  const seconds = (Date.now() - began) / 1000
  const after = await settled(d)
  const { fds, ledgerBytes, zygoteFds, ...rest } = after.foot
  const { fds: fdsBefore, ledgerBytes: _, zygoteFds: zygoteBefore, ...restBefore } = before.foot
  const growth = residentMb(d.pid) - memory
  t.log(
    `${seconds.toFixed(1)} s, ${((seconds * 1000) / CYCLES).toFixed(1)} ms a cycle; ${growth.toFixed(1)} MB more; ${fdsBefore} fds before, ${fds} after; ledger ${ledgerBytes} bytes`,
  )
  t.deepEqual(after.world, before.world)
  t.deepEqual(rest, restBefore)
  t.true(Math.abs(fds - fdsBefore) <= 4, `${fdsBefore} descriptors before, ${fds} after`)
  t.is(zygoteFds, zygoteBefore)
  t.true(ledgerBytes < 1 << 20, `a ledger of ${ledgerBytes} bytes`)
  t.true(growth < 32, `${growth} MB more`)
  t.deepEqual((await d.api('GET', '/containers/json?all=1')).json(), [])
  // 25 s with the machine to itself; other test files run beside this one.
  t.true(seconds < 150, `${seconds} s`)
})
