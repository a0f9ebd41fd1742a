import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { TestDaemon } from '../fixtures/daemon.js'
import { archiveOf, gzipped, load, peakGrowth, rawHeader, refusal, send, stored, type RawEntry } from '../fixtures/hostile.js'
import { needs, tempDir } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

/** Idle and 64 MB: what the daemon may hold while it is attacked. */
const ROOM = 64

function* repeat(first: Buffer, chunk: Buffer, times: number): Generator<Buffer> {
  yield first
  for (let i = 0; i < times; i += 1) yield chunk
}

daemonTest('bombs of size, of entries and of headers do not fill the memory', async (t, d) => {
  const zeros = Buffer.alloc(1 << 20)
  const size = 400
  const { result: big, growth } = await peakGrowth(d.pid, () =>
    send(d, '/images/create?fromSrc=-&repo=hostile', gzipped(repeat(rawHeader({ name: 'zeros', size: size << 20 }), zeros, size))),
  )
  t.is(refusal(big), '')
  t.true(growth < ROOM, `${growth} MB over idle for ${size} MB of zeros`)
  t.is((await d.api('DELETE', '/images/hostile?force=1')).status, 200)

  const headers: [string, RawEntry][] = [
    ['pax', { name: 'pax', type: 'x', size: 300 << 20 }],
    ['global pax', { name: 'pax', type: 'g', size: 300 << 20 }],
    ['long name', { name: 'long', type: 'L', size: 300 << 20 }],
    ['long link', { name: 'long', type: 'K', size: 300 << 20 }],
  ]
  for (const [what, entry] of headers) {
    for (const url of ['/images/load', '/images/create?fromSrc=-&repo=hostile']) {
      const before = stored(d)
      const { result, growth } = await peakGrowth(d.pid, () => send(d, url, gzipped(repeat(rawHeader(entry), zeros, 300))))
      t.not(refusal(result), '', `${what} ${url}`)
      t.true(growth < ROOM, `${growth} MB over idle for a ${what} header of 300 MB at ${url}`)
      t.deepEqual(stored(d), before)
    }
  }

  const files = Buffer.concat(Array.from({ length: 1000 }, (_, i) => rawHeader({ name: `f${i}` })))
  const many = await peakGrowth(d.pid, () => send(d, '/images/load', gzipped(repeat(files, files, 100))))
  t.regex(refusal(many.result), /more than 16384 entries/)
  t.true(many.growth < ROOM, `${many.growth} MB over idle for 100,000 files`)
  function* crowd(): Generator<Buffer> {
    for (let i = 0; i < 60; i += 1) yield Buffer.concat(Array.from({ length: 1000 }, (_, j) => rawHeader({ name: `d${i}/f${j}` })))
    yield Buffer.alloc(1024)
  }
  const crowded = await peakGrowth(d.pid, () => send(d, '/images/create?fromSrc=-&repo=hostile', gzipped(crowd())))
  t.is(refusal(crowded.result), '')
  t.true(crowded.growth < ROOM, `${crowded.growth} MB over idle for a layer of 60,000 files`)
  t.is((await d.api('DELETE', '/images/hostile?force=1')).status, 200)
  t.is((await d.docker('run', '--rm', 'busybox', 'echo', 'alive')).stdout, 'alive\n')
})

needs(
  'root',
  'busybox',
  'docker',
  'ip',
)('a bomb that does not fit on the disk is refused and leaves the disk as it was', async (t) => {
  t.timeout(60_000)
  const small = path.join(tempDir(t, 'small'), 'disk')
  fs.mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256m', 'small', small])
  const d = await TestDaemon.start({ config: { 'data-root': path.join(small, 'data') } })
  try {
    await d.loadBusybox()
    const free = (): number => {
      const { bavail, bsize } = fs.statfsSync(small)
      return (bavail * bsize) >> 20
    }
    const before = free()
    const zeros = Buffer.alloc(1 << 20)
    for (const url of ['/images/load', '/images/create?fromSrc=-&repo=hostile']) {
      const { result, growth } = await peakGrowth(d.pid, () =>
        send(d, url, gzipped(repeat(rawHeader({ name: 'layer.tar', size: 2000 << 20 }), zeros, 2000))),
      )
      t.regex(refusal(result), /no space left|unpacks to more than \d+ bytes/)
      t.true(growth < ROOM, `${growth} MB over idle`)
      t.true(Math.abs(free() - before) < 4, `${before} MB were free, now ${free()}`)
    }
    // A compressed layer is small where it is spooled, and large only where it is unpacked.
    const layerBomb = await new Promise<Buffer>((resolve, reject) => {
      const chunks: Buffer[] = []
      const stream = gzipped(repeat(rawHeader({ name: 'zeros', size: 300 << 20 }), zeros, 300))
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.once('end', () => resolve(Buffer.concat(chunks)))
      stream.once('error', reject)
    })
    const { result } = await peakGrowth(d.pid, () => load(d, archiveOf({ layers: [layerBomb], diffIds: [`sha256:${'1'.repeat(64)}`] })))
    t.regex(refusal(result), /no space left|unpacks to more than \d+ bytes/)
    t.true(Math.abs(free() - before) < 4, `${before} MB were free, now ${free()}`)
    t.is((await d.docker('run', '--rm', 'busybox', 'echo', 'alive')).stdout, 'alive\n')
  } finally {
    await d.destroy()
    execFileSync('umount', ['-l', small])
  }
})
