import { execFile } from 'node:child_process'
import fs from 'node:fs'
import fsp from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Logger, LogInfo, LogReadOptions } from 'tsd-engine/sdk'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { JsonFileLog } from './driver.js'

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

testLogDriver(
  (name, run) => test(name, async (t) => t.notThrowsAsync(run)),
  () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-log-suite-'))
    return Promise.resolve({ driver: () => Promise.resolve(new JsonFileLog(silent)), dir, remove: () => fsp.rm(dir, { recursive: true }) })
  },
  { config: { 'max-size': '10m', 'max-file': '3' } },
)

function setUp(t: ExecutionContext, config: Record<string, string> = {}): { driver: JsonFileLog; info: LogInfo; file: string } {
  const logDir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-log-'))
  t.teardown(() => fs.rmSync(logDir, { recursive: true, force: true }))
  const containerId = 'ab'.repeat(32)
  const info: LogInfo = {
    config,
    containerId,
    containerName: 'web',
    containerEntrypoint: 'sh',
    containerArgs: ['-c', 'true'],
    containerImageId: `sha256:${'cd'.repeat(32)}`,
    containerImageName: 'busybox:latest',
    containerCreated: '2024-01-01T00:00:00Z',
    containerEnv: ['A=1', 'AB=2=3', 'C=4'],
    containerLabels: { 'com.x': 'y', other: 'z' },
    logDir,
    daemonName: 'tsd',
  }
  return { driver: new JsonFileLog(silent), info, file: path.join(logDir, `${containerId}-json.log`) }
}

const seconds = (n: number): string => `2024-05-06T07:08:${String(n).padStart(2, '0')}`
const line = (n: number, text = `line ${n}\n`, stream = 'stdout'): string =>
  `${JSON.stringify({ log: text, stream, time: `${seconds(n)}.000000001Z` })}\n`
const lines = (from: number, to: number): string => Array.from({ length: to - from + 1 }, (_, i) => line(from + i)).join('')

const reading = (options: Partial<LogReadOptions> = {}): LogReadOptions => ({
  follow: false,
  stopped: new AbortController().signal,
  signal: new AbortController().signal,
  ...options,
})

async function texts(driver: JsonFileLog, info: LogInfo, options: Partial<LogReadOptions> = {}): Promise<string[]> {
  const found: string[] = []
  for await (const batch of driver.read(info, reading(options))) for (const entry of batch) found.push(Buffer.from(entry.line).toString())
  return found
}

const expected = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}\n`)

test('options are checked when a container is created', async (t) => {
  const { driver } = setUp(t)
  await driver.validate({
    'max-size': '10m',
    'max-file': '3',
    compress: 'true',
    labels: 'a,b',
    'env-regex': '^A',
    tag: '{{.Name}}/{{.ID}}',
  })
  const refused: [Record<string, string>, RegExp][] = [
    [{ nope: '1' }, /^unknown log opt 'nope' for json-file log driver$/],
    [{ 'max-size': 'ten' }, /invalid size: 'ten'/],
    [{ 'max-file': '0' }, /max-file cannot be less than 1/],
    [{ 'max-file': 'x' }, /max-file must be a number/],
    [{ compress: 'true' }, /compress cannot be true when max-file is less than 2 or max-size is not set/],
    [{ compress: 'perhaps' }, /compress must be true or false/],
    [{ 'env-regex': '(' }, /invalid env-regex/],
    [{ tag: '{{.Nope}}' }, /\{\{\.Nope\}\} is not supported/],
    [{ tag: '{{.ID' }, /unclosed action/],
  ]
  for (const [config, message] of refused) {
    const error = await t.throwsAsync(driver.validate(config), { message })
    t.is((error as unknown as { category: string }).category, 'InvalidParameter')
  }
})

test('the sink has its attributes resolved', async (t) => {
  const config = {
    'max-size': '10k',
    'max-file': '3',
    labels: 'com.x,none',
    env: 'C',
    'env-regex': '^AB$',
    tag: '{{ .ImageName }}/{{.Name}}/{{.ID | upper}}',
  }
  const { driver, info, file } = setUp(t, config)
  t.deepEqual(await driver.start(info), {
    type: 'file',
    path: file,
    format: 'json-file',
    attrs: { 'com.x': 'y', AB: '2=3', C: '4', tag: 'busybox:latest/web/ABABABABABAB' },
    maxSize: 10_000,
    maxFile: 3,
    compress: false,
  })
})

test('reads rotated files in order, with tail, since and until', async (t) => {
  const { driver, info, file } = setUp(t)
  fs.writeFileSync(`${file}.2`, lines(1, 10))
  fs.writeFileSync(`${file}.1`, lines(11, 20))
  fs.writeFileSync(file, lines(21, 30))
  const at = (n: number): bigint => BigInt(Date.parse(`${seconds(n)}Z`)) * 1_000_000n + 1n
  t.deepEqual(await texts(driver, info), expected(1, 30))
  for (const tail of [0, 1, 9, 10, 11, 20, 25, 30, 99])
    t.deepEqual(await texts(driver, info, { tail }), expected(1, 30).slice(Math.max(0, 30 - tail)), `tail ${tail}`)
  t.deepEqual(await texts(driver, info, { since: at(12), until: at(14) }), expected(12, 14))
  t.deepEqual(await texts(driver, info, { since: at(12) + 1n, until: at(14) - 1n }), expected(13, 13))
})

test('everything that JSON can say comes out as it went in', async (t) => {
  const { driver, info, file } = setUp(t)
  const all = [
    '\n',
    'no newline',
    'tab\t "quoted" \\ back\r\n',
    '\u001b[31mred\u001b[0m\n',
    'ünïcödé \u{1f600} \u2028\n',
    '\\n',
    'a\\\n',
    `${'x'.repeat(16384)}`,
    '<&>\n',
  ]
  const goEscaped = (text: string): string => text.replace(/[<>&\u2028]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  fs.writeFileSync(
    file,
    all.map((text, i) => goEscaped(line(i, text))).join('') +
      '{"log":"\\ud83d\\ude00\\ud800","stream":"stderr","time":"2024-05-06T07:08:09Z"}\n',
  )
  t.deepEqual(await texts(driver, info), [...all, '\u{1f600}\ufffd'])
  t.deepEqual(await texts(driver, info, { tail: 1 }), ['\u{1f600}\ufffd'])
})

test('other shapes, attributes, torn lines and garbage', async (t) => {
  const { driver, info, file } = setUp(t)
  fs.writeFileSync(
    file,
    [
      '{"log":"a\\n","stream":"stdout","attrs":{"tag":"x}\\"y","k":"v"},"time":"2024-05-06T07:08:09.1Z"}\n',
      '{"log":"b\\n","stream":"stdout","attrs":{"tag":"x}\\"y","k":"v"},"time":"2024-05-06T07:08:09.1Z"}\n',
      '{ "stream": "stderr", "time": "2024-05-06T09:08:09.5+02:00", "log": "slow\\n" }\n',
      'garbage\n\n{}\nnull\n[1]\n"x"\n',
      '{"log":"torn',
      '{"log":"after torn\\n","stream":"stdout","time":"2024-05-06T07:08:10Z"}\n',
      '{"log":"last, whole","stream":"stdout","time":"2024-05-06T07:08:11Z"}',
    ].join(''),
  )
  const entries = []
  for await (const batch of driver.read(info, reading()))
    entries.push(...batch.map((entry) => ({ ...entry, line: Buffer.from(entry.line).toString() })))
  const attrs = { tag: 'x}"y', k: 'v' }
  t.deepEqual(entries, [
    { source: 'stdout', time: '2024-05-06T07:08:09.100000000Z', line: 'a\n', attrs },
    { source: 'stdout', time: '2024-05-06T07:08:09.100000000Z', line: 'b\n', attrs },
    { source: 'stderr', time: '2024-05-06T07:08:09.500000000Z', line: 'slow\n' },
    { source: 'stdout', time: '2024-05-06T07:08:10.000000000Z', line: 'after torn\n' },
    { source: 'stdout', time: '2024-05-06T07:08:11.000000000Z', line: 'last, whole' },
  ])
  fs.appendFileSync(file, '\n{"log":"torn at the e')
  t.is((await texts(driver, info)).length, 5)
})

test('frames are what docker logs sends', async (t) => {
  const { driver, info, file } = setUp(t)
  fs.writeFileSync(file, line(1) + line(2, 'err\t\n', 'stderr') + line(3))
  const read = async (options: { stdout: boolean; stderr: boolean; framed: boolean }): Promise<Buffer> => {
    const chunks: Buffer[] = []
    for await (const chunk of driver.readFrames(info, { ...reading(), ...options })) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  const frame = (stream: number, text: string): Buffer =>
    Buffer.concat([Buffer.from([stream, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)])
  t.deepEqual(
    await read({ stdout: true, stderr: true, framed: true }),
    Buffer.concat([frame(1, 'line 1\n'), frame(2, 'err\t\n'), frame(1, 'line 3\n')]),
  )
  t.is((await read({ stdout: true, stderr: false, framed: false })).toString(), 'line 1\nline 3\n')
  t.is((await read({ stdout: false, stderr: true, framed: false })).toString(), 'err\t\n')
})

test('many lines of every length survive the cuts between reads', async (t) => {
  const { driver, info, file } = setUp(t)
  const all = Array.from({ length: 20_000 }, (_, i) => `${i} ${'é'.repeat(i % 97)}${i % 7 === 0 ? '"' : ''}\n`)
  fs.writeFileSync(file, all.map((text) => line(1, text)).join(''))
  t.deepEqual(await texts(driver, info), all)
  t.deepEqual(await texts(driver, info, { tail: 12_345 }), all.slice(-12_345))
})

/** Reads in the background. */
function following(
  driver: JsonFileLog,
  info: LogInfo,
  options: Partial<LogReadOptions> = {},
): { found: string[]; stop: () => Promise<void>; until(n: number): Promise<void> } {
  const stopped = new AbortController()
  const found: string[] = []
  const done = (async () => {
    for await (const batch of driver.read(info, reading({ follow: true, stopped: stopped.signal, ...options })))
      for (const entry of batch) found.push(Buffer.from(entry.line).toString())
  })()
  return {
    found,
    stop: async () => {
      stopped.abort()
      await done
    },
    until: async (n) => {
      for (let i = 0; found.length < n && i < 500; i++) await delay(10)
    },
  }
}

test('follows what is written, half lines included, until the container has stopped', async (t) => {
  const { driver, info, file } = setUp(t)
  fs.writeFileSync(file, lines(1, 5))
  const follow = following(driver, info, { tail: 2 })
  await follow.until(2)
  fs.appendFileSync(file, line(6).slice(0, 20))
  await delay(50)
  fs.appendFileSync(file, line(6).slice(20))
  await follow.until(3)
  t.deepEqual(follow.found, expected(4, 6))
  fs.appendFileSync(file, line(7))
  await follow.stop()
  t.deepEqual(follow.found, expected(4, 7))
})

test('follows across rotations, several between two looks too', async (t) => {
  const { driver, info, file } = setUp(t)
  const rotate = (): void => {
    for (const n of [2, 1]) if (fs.existsSync(`${file}.${n}`)) fs.renameSync(`${file}.${n}`, `${file}.${n + 1}`)
    fs.renameSync(file, `${file}.1`)
  }
  fs.writeFileSync(file, lines(1, 2))
  const follow = following(driver, info)
  await follow.until(2)
  fs.appendFileSync(file, line(3))
  rotate()
  fs.writeFileSync(file, line(4))
  rotate()
  fs.writeFileSync(file, line(5))
  await follow.until(5)
  t.deepEqual(follow.found, expected(1, 5))
  fs.truncateSync(file)
  await delay(1200)
  fs.appendFileSync(file, line(6))
  await follow.until(6)
  await follow.stop()
  t.deepEqual(follow.found, expected(1, 6))
})

test('a log that does not exist yet is waited for; a reader that leaves ends it at once', async (t) => {
  const { driver, info, file } = setUp(t)
  t.deepEqual(await texts(driver, info), [])
  const gone = new AbortController()
  const follow = following(driver, info, { signal: gone.signal })
  await delay(50)
  fs.writeFileSync(file, line(1))
  await follow.until(1)
  t.deepEqual(follow.found, expected(1, 1))
  gone.abort()
  await follow.stop()
})

test('follow ends at until', async (t) => {
  const { driver, info, file } = setUp(t)
  fs.writeFileSync(file, lines(1, 2))
  const found = await texts(driver, info, { follow: true, until: BigInt(Date.now() + 100) * 1_000_000n })
  t.deepEqual(found, expected(1, 2))
})

test('rotated files are compressed, kept in number and read back', async (t) => {
  const { driver, info, file } = setUp(t, { 'max-size': '1k', 'max-file': '4', compress: 'true' })
  const write = (name: string, text: string, time: number): void => {
    fs.writeFileSync(name, text)
    fs.utimesSync(name, time, time)
  }
  write(`${file}.3`, lines(1, 5), 1_700_000_001)
  write(`${file}.2`, lines(6, 10), 1_700_000_002)
  write(`${file}.1`, lines(11, 15), 1_700_000_003)
  fs.writeFileSync(file, lines(16, 20))
  await driver.maintain(info)
  const names = await fsp.readdir(info.logDir)
  t.is(names.filter((name) => name.endsWith('.gz')).length, 3)
  t.is(names.length, 4)
  t.deepEqual(await texts(driver, info), expected(1, 20))
  for (const tail of [3, 5, 7, 10, 12, 20]) t.deepEqual(await texts(driver, info, { tail }), expected(21 - tail, 20), `tail ${tail}`)

  write(`${file}.1`, lines(16, 20), 1_700_000_004)
  fs.writeFileSync(file, lines(21, 22))
  t.deepEqual(await texts(driver, info), expected(1, 22), 'compressed and plain together')
  await driver.maintain(info)
  t.deepEqual(await texts(driver, info), expected(6, 22))
  await driver.remove(info)
  t.deepEqual(await fsp.readdir(info.logDir), [])
})

test('a file compressed while it is followed is not read twice', async (t) => {
  const { driver, info, file } = setUp(t, { 'max-size': '1k', 'max-file': '4', compress: 'true' })
  fs.writeFileSync(file, lines(1, 3))
  const follow = following(driver, info)
  await follow.until(3)
  fs.renameSync(file, `${file}.1`)
  await driver.maintain(info)
  fs.writeFileSync(file, lines(4, 5))
  await follow.until(5)
  await delay(100)
  await follow.stop()
  t.deepEqual(follow.found, expected(1, 5))
})

test('follows a writer in another process that rotates all the time', async (t) => {
  const { driver, info, file } = setUp(t)
  const follow = following(driver, info)
  const writer = `
    const fs = require('node:fs')
    const [file, total, perFile, keep] = [process.argv[1], 3000, 25, 200]
    let fd = fs.openSync(file, 'a')
    for (let i = 0; i < total; i++) {
      if (i > 0 && i % perFile === 0) {
        fs.closeSync(fd)
        for (let n = keep; n >= 1; n--) if (fs.existsSync(file + '.' + n)) fs.renameSync(file + '.' + n, file + '.' + (n + 1))
        fs.renameSync(file, file + '.1')
        fd = fs.openSync(file, 'a')
      }
      fs.writeSync(fd, JSON.stringify({ log: i + '\\n', stream: 'stdout', time: '2024-05-06T07:08:09.123456789Z' }) + '\\n')
    }`
  await promisify(execFile)(process.execPath, ['-e', writer, file])
  await follow.until(3000)
  await follow.stop()
  t.deepEqual(
    follow.found,
    Array.from({ length: 3000 }, (_, i) => `${i}\n`),
  )
})
