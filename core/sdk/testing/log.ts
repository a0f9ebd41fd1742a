import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { categoryOf, messageOf } from '../errors.js'
import type { LogDriver, LogEntry, LogInfo, LogReadOptions, LogSink } from '../kinds/log.js'
import type { RegisterTest } from './ipam.js'
import { copy, copyOf, encodeAs, line, lines, timeOf, type Line, type ReadLine } from './log-lines.js'

/** One driver and what it keeps. */
export interface LogSubject {
  /** A new life of the driver on the same state, as after a kill. The last one is not used any more. */
  driver(): Promise<LogDriver>
  /** An empty directory; that of each container lies in it. */
  dir: string
  remove(): Promise<void>
}

export interface LogSuiteOptions {
  /** Options of an ordinary container. With a sink that keeps several files, rotation is tested too. */
  config?: Record<string, string>
  /** For a driver that takes any option, as Docker's `none` does. */
  ignoresOptions?: boolean
}

type FileSink = Extract<LogSink, { type: 'file' }>

/** A follow that takes longer than this to tell what was written, or to end, does neither. */
const patience = 5_000

const reading = (options: Partial<LogReadOptions> = {}): LogReadOptions => ({
  follow: false,
  stopped: new AbortController().signal,
  signal: new AbortController().signal,
  ...options,
})

async function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  const over = new AbortController()
  const late = delay(patience, undefined, { signal: over.signal }).then(() => assert.fail(`${what} within ${patience} ms`))
  try {
    return await Promise.race([work, late])
  } finally {
    over.abort()
    late.catch(() => undefined)
  }
}

function checkSink(sink: LogSink): void {
  if (sink.type === 'none') return
  assert.ok(path.isAbsolute(sink.path), `${sink.path} is not an absolute path`)
  if (sink.type === 'fifo') {
    assert.ok(sink.mode === 'blocking' || sink.mode === 'non-blocking', `mode ${String(sink.mode)}`)
    assert.ok(Number.isSafeInteger(sink.bufferSize), `bufferSize ${sink.bufferSize}`)
    return
  }
  assert.equal(sink.type, 'file')
  assert.ok(sink.format === 'json-file' || sink.format === 'local', `format ${String(sink.format)}`)
  assert.ok(sink.format === 'json-file' || Object.keys(sink.attrs).length === 0, 'this format has no attributes')
  assert.ok(Number.isSafeInteger(sink.maxSize), `maxSize ${sink.maxSize}`)
  assert.ok(Number.isSafeInteger(sink.maxFile) && sink.maxFile >= 1, `maxFile ${sink.maxFile}`)
  assert.equal(typeof sink.compress, 'boolean')
  assert.ok(Object.values(sink.attrs).every((value) => typeof value === 'string'))
}

/** The driver under test, made anew for every call. */
class Subject {
  constructor(
    readonly subject: LogSubject,
    private readonly config: Record<string, string>,
  ) {}

  driver(): Promise<LogDriver> {
    return this.subject.driver()
  }

  async info(name: string): Promise<LogInfo> {
    const containerId = Buffer.from(name.padEnd(32, '.')).toString('hex')
    const logDir = path.join(this.subject.dir, containerId)
    await fs.mkdir(logDir, { recursive: true })
    return {
      config: { ...this.config },
      containerId,
      containerName: name,
      containerEntrypoint: 'sh',
      containerArgs: ['-c', 'true'],
      containerImageId: `sha256:${'cd'.repeat(32)}`,
      containerImageName: 'busybox:latest',
      containerCreated: '2024-01-01T00:00:00Z',
      containerEnv: ['A=1', 'B=2'],
      containerLabels: { label: 'value' },
      logDir,
      daemonName: 'tsd',
    }
  }

  async start(info: LogInfo): Promise<LogSink> {
    return (await this.driver()).start(info)
  }

  async batches(info: LogInfo, options: LogReadOptions): Promise<AsyncIterable<LogEntry[]>> {
    const driver = await this.driver()
    assert.ok(driver.read)
    return driver.read(info, options)
  }

  async read(info: LogInfo, options: Partial<LogReadOptions> = {}): Promise<ReadLine[]> {
    const found: ReadLine[] = []
    const all = async (): Promise<void> => {
      for await (const batch of await this.batches(info, reading(options))) found.push(...batch.map(copy))
    }
    await inTime(all(), 'a read without follow does not end')
    return found
  }

  /** Reads in the background. */
  follow(info: LogInfo, options: Partial<LogReadOptions> = {}): Follow {
    const [stopped, gone] = [new AbortController(), new AbortController()]
    const found: ReadLine[] = []
    const done = (async () => {
      const batches = await this.batches(info, reading({ follow: true, stopped: stopped.signal, signal: gone.signal, ...options }))
      for await (const batch of batches) found.push(...batch.map(copy))
    })()
    done.catch(() => undefined)
    const reached = async (count: number): Promise<void> => {
      for (const deadline = Date.now() + patience; found.length < count && Date.now() < deadline;) await delay(10)
      assert.ok(found.length >= count, `followed ${found.length} lines of ${count} within ${patience} ms`)
    }
    return { found, stopped, gone, done, reached }
  }
}

interface Follow {
  found: ReadLine[]
  stopped: AbortController
  gone: AbortController
  done: Promise<void>
  reached(count: number): Promise<void>
}

/**
 * What every log driver has to do. The driver is made anew for each call. Where its sink is a file that it reads back, the suite writes in it
 * as the shim does; of other sinks, only what can be seen from outside is asked.
 */
export function testLogDriver(register: RegisterTest, make: () => Promise<LogSubject>, options: LogSuiteOptions = {}): void {
  const { config = {}, ignoresOptions = false } = options
  const test = (name: string, run: (subject: Subject) => Promise<void>): void =>
    register(`log: ${name}`, async () => {
      const subject = await make()
      try {
        await run(new Subject(subject, config))
      } finally {
        await subject.remove()
      }
    })
  /** For drivers that read what the shim writes. */
  const readTest = (
    name: string,
    run: (subject: Subject, info: LogInfo, sink: FileSink, encode: (all: Line[]) => Buffer) => Promise<void>,
  ): void =>
    test(name, async (subject) => {
      const info = await subject.info('web')
      const sink = await subject.start(info)
      if (sink.type === 'file' && (await subject.driver()).read !== undefined)
        await run(subject, info, sink, (all) => encodeAs(sink.format, all))
    })

  test('options are checked by name', async (subject) => {
    await (await subject.driver()).validate(config)
    await (await subject.driver()).validate(config)
    const unknown = (await subject.driver()).validate({ ...config, 'no-such-option': 'x' })
    if (ignoresOptions) return unknown
    const error = await unknown.then(
      () => assert.fail('an unknown option is accepted'),
      (reason: unknown) => reason,
    )
    assert.equal(categoryOf(error), 'InvalidParameter', messageOf(error))
    assert.match(messageOf(error), /no-such-option/, 'the message does not name the option')
  })

  test('a sink is well-formed and stays the same', async (subject) => {
    const [web, other] = [await subject.info('web'), await subject.info('other')]
    const sink = await subject.start(web)
    checkSink(sink)
    assert.deepEqual(await subject.start(web), sink)
    const driver = await subject.driver()
    assert.deepEqual(await driver.start(web), sink)
    assert.deepEqual(await driver.start(web), sink)
    const beside = await subject.start(other)
    checkSink(beside)
    if (sink.type !== 'none' && beside.type !== 'none') assert.notEqual(beside.path, sink.path, 'two containers share a sink')
    assert.deepEqual(await subject.start(web), sink)
  })

  test('a stop may be repeated, and a start may follow', async (subject) => {
    const info = await subject.info('web')
    const sink = await subject.start(info)
    for (let time = 0; time < 2; time++) await (await subject.driver()).stop(info)
    assert.deepEqual(await subject.start(info), sink)
    await (await subject.driver()).stop(info)
    await (await subject.driver()).stop(await subject.info('never started'))
  })

  test('a driver that cannot read says so', async (subject) => {
    const { read, readFrames } = await subject.driver()
    const sink = await subject.start(await subject.info('web'))
    if (sink.type === 'none') assert.equal(read, undefined, 'there is a read, but nothing is kept')
    if (read === undefined) assert.equal(readFrames, undefined, 'there is a readFrames, but no read')
    else assert.deepEqual(await subject.read(await subject.info('web')), [])
  })

  readTest('what was written is read: sources, order, times, pieces of lines, attributes', async (subject, info, sink, encode) => {
    const written: Line[] = [
      line(1),
      line(2),
      { ...line(3, 'at the same time\n'), time: timeOf(2) },
      line(4, 'x'.repeat(16 * 1024), 'stdout'),
      line(5, 'the rest\n', 'stdout'),
      line(6, '\u001b[31mtab\t"quoted" \\ back\r\n', 'stdout'),
      line(7, '\u00fcn\u00efc\u00f6d\u00e9 \u{1f600} \u2028 <&>\n', 'stderr'),
      line(8, '\n'),
      { ...line(9), time: timeOf(9) + 7_654_321n, ...(sink.format === 'json-file' ? { attrs: { tag: 'web}"', label: 'value' } } : {}) },
      { ...line(10), time: BigInt(Date.UTC(2024, 4, 6, 7, 9)) * 1_000_000n },
      line(11, 'no newline at the end'),
    ]
    await fs.writeFile(sink.path, encode(written))
    const expected = written.map(copyOf)
    assert.deepEqual(await subject.read(info), expected)
    await (await subject.driver()).stop(info)
    assert.deepEqual(await subject.read(info), expected)
  })

  readTest('since, until and tail', async (subject, info, sink, encode) => {
    await fs.writeFile(sink.path, encode(lines(1, 9)))
    const expect = async (from: number, to: number, read: Partial<LogReadOptions>): Promise<void> =>
      assert.deepEqual(await subject.read(info, read), lines(from, to).map(copyOf))
    await expect(3, 9, { since: timeOf(3) })
    await expect(4, 9, { since: timeOf(3) + 1n })
    await expect(1, 5, { until: timeOf(5) })
    await expect(1, 4, { until: timeOf(5) - 1n })
    await expect(3, 5, { since: timeOf(3), until: timeOf(5) })
    await expect(1, 0, { since: timeOf(10) })
    for (const tail of [0, 1, 4, 9, 100]) await expect(Math.max(1, 10 - tail), 9, { tail })
    await expect(1, 9, { tail: -1 })
  })

  readTest('a torn last line does no harm', async (subject, info, sink, encode) => {
    const last = encode([line(4)])
    await fs.writeFile(sink.path, Buffer.concat([encode(lines(1, 3)), last.subarray(0, 20)]))
    assert.deepEqual(await subject.read(info), lines(1, 3).map(copyOf))
    const follow = subject.follow(info)
    await follow.reached(3)
    await fs.appendFile(sink.path, last.subarray(20))
    await follow.reached(4)
    follow.stopped.abort()
    await inTime(follow.done, 'the follow does not end')
    assert.deepEqual(follow.found, lines(1, 4).map(copyOf))
  })

  readTest('rotated files are read in order, and followed across', async (subject, info, sink, encode) => {
    if (sink.maxFile < 2) return
    await fs.writeFile(`${sink.path}.1`, encode(lines(1, 3)))
    await fs.writeFile(sink.path, encode(lines(4, 6)))
    assert.deepEqual(await subject.read(info), lines(1, 6).map(copyOf))
    for (const tail of [2, 3, 5]) assert.deepEqual(await subject.read(info, { tail }), lines(7 - tail, 6).map(copyOf), `tail ${tail}`)
    const follow = subject.follow(info, { tail: 1 })
    await follow.reached(1)
    await fs.appendFile(sink.path, encode([line(7)]))
    await fs.rm(`${sink.path}.1`)
    await fs.rename(sink.path, `${sink.path}.1`)
    await fs.writeFile(sink.path, encode(lines(8, 9)))
    await follow.reached(4)
    follow.stopped.abort()
    await inTime(follow.done, 'the follow does not end')
    assert.deepEqual(follow.found, lines(6, 9).map(copyOf))
  })

  readTest('a follow ends once the container has stopped, with all that it wrote', async (subject, info, sink, encode) => {
    const follow = subject.follow(info)
    await fs.writeFile(sink.path, encode(lines(1, 2)))
    await follow.reached(2)
    await fs.appendFile(sink.path, encode(lines(3, 4)))
    follow.stopped.abort()
    await inTime(follow.done, 'the follow does not end')
    assert.deepEqual(follow.found, lines(1, 4).map(copyOf))
    assert.deepEqual(await subject.read(info, { follow: true, stopped: AbortSignal.abort() }), lines(1, 4).map(copyOf))
  })

  readTest('a reader that leaves ends its follow and no other', async (subject, info, sink, encode) => {
    await fs.writeFile(sink.path, encode(lines(1, 2)))
    const [leaving, staying] = [subject.follow(info), subject.follow(info)]
    await Promise.all([leaving.reached(2), staying.reached(2)])
    leaving.gone.abort()
    // With or without an error: nobody is there to be told.
    await inTime(
      leaving.done.catch(() => undefined),
      'the follow does not end',
    )
    await fs.appendFile(sink.path, encode([line(3)]))
    await staying.reached(3)
    staying.stopped.abort()
    await inTime(staying.done, 'the follow does not end')
    assert.equal(leaving.found.length, 2)
  })

  readTest('frames agree with entries', async (subject, info, sink, encode) => {
    if ((await subject.driver()).readFrames === undefined) return
    await fs.writeFile(sink.path, encode([...lines(1, 5), line(6, 'tab\t"\u00fc"\r\n'), line(7, 'no newline')]))
    for (const tail of [-1, 3]) {
      const entries = await subject.read(info, { tail })
      for (const [stdout, stderr, framed] of [0, 1, 2, 3, 4, 5, 6, 7].map((n) => [n & 1, n & 2, n & 4].map((bit) => bit !== 0))) {
        const wanted = { stdout: stdout === true, stderr: stderr === true, framed: framed === true }
        const expected = entries
          .filter(({ source }) => wanted[source])
          .flatMap(({ source, text }) => {
            const header = Buffer.from([source === 'stderr' ? 2 : 1, 0, 0, 0, 0, 0, 0, 0])
            header.writeUInt32BE(Buffer.byteLength(text), 4)
            return wanted.framed ? [header, Buffer.from(text)] : [Buffer.from(text)]
          })
        const found: Buffer[] = []
        const frames = (await subject.driver()).readFrames?.(info, { ...reading({ tail }), ...wanted }) ?? []
        for await (const frame of frames) found.push(Buffer.from(frame))
        assert.deepEqual(Buffer.concat(found), Buffer.concat(expected), `frames of ${JSON.stringify({ tail, ...wanted })}`)
      }
    }
  })

  test('what is removed is the log and nothing else', async (subject) => {
    if ((await subject.driver()).remove === undefined) return
    const [info, other] = [await subject.info('web'), await subject.info('other')]
    const [sink, beside] = [await subject.start(info), await subject.start(other)]
    const ours = sink.type === 'file' ? [sink.path, ...(sink.maxFile > 1 ? [`${sink.path}.1`] : [])] : []
    const kept = [path.join(info.logDir, 'config.json'), ...(sink.type === 'file' ? [`${sink.path}-kept`] : [])]
    if (beside.type === 'file') kept.push(beside.path)
    for (const file of [...ours, ...kept]) await fs.writeFile(file, encodeAs('json-file', [line(1)]))
    await (await subject.driver()).stop(info)
    for (let time = 0; time < 2; time++) await (await subject.driver()).remove?.(info)
    const there = async (file: string): Promise<boolean> =>
      fs.access(file).then(
        () => true,
        () => false,
      )
    for (const file of ours) assert.equal(await there(file), false, `${file} is still there`)
    for (const file of kept) assert.equal(await there(file), true, `${file} was deleted`)
  })
}
