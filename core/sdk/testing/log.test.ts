import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import type { LogDriver, LogEntry, LogInfo, LogSink } from '../kinds/log.js'
import { testLogDriver } from './log.js'

/** Takes any option, has a new file for every start, forgets rotated files, cannot follow and deletes too much. */
class Careless implements LogDriver {
  private starts = 0

  async validate(): Promise<void> {}

  async start(info: LogInfo): Promise<LogSink> {
    const file = this.starts++ === 0 ? 'log' : `log-${this.starts}`
    return { type: 'file', path: path.join(info.logDir, file), format: 'json-file', attrs: {}, maxSize: 1000, maxFile: 2, compress: false }
  }

  async stop(): Promise<void> {}

  async *read(info: LogInfo): AsyncGenerator<LogEntry[]> {
    const file = path.join(info.logDir, 'log')
    const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
    for (const line of lines) {
      const { log, stream, time } = JSON.parse(line) as { log: string; stream: 'stdout' | 'stderr'; time: string }
      yield [{ source: stream, time: new Date(time).toISOString(), line: Buffer.from(log) }]
    }
  }

  async *readFrames(info: LogInfo): AsyncGenerator<Buffer> {
    for await (const batch of this.read(info)) for (const { line } of batch) yield Buffer.from(line)
  }

  async remove(info: LogInfo): Promise<void> {
    fs.rmSync(info.logDir, { recursive: true, force: true })
  }
}

test('a careless driver fails where it should, and only there', async (t) => {
  const runs: { name: string; run: () => Promise<void> }[] = []
  testLogDriver(
    (name, run) => runs.push({ name, run }),
    () => {
      const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-logsuite-'))
      return Promise.resolve({
        driver: () => Promise.resolve(new Careless()),
        dir,
        remove: () => fs.promises.rm(dir, { recursive: true }),
      })
    },
  )
  const failed = new Map<string, string>()
  await Promise.all(runs.map(({ name, run }) => run().catch((error: Error) => failed.set(name, error.message))))
  t.deepEqual(
    runs.map(({ name }) => name).filter((name) => !failed.has(name)),
    ['log: a stop may be repeated, and a start may follow', 'log: a driver that cannot read says so'],
  )
  t.regex(failed.get('log: options are checked by name') ?? '', /an unknown option is accepted/)
  t.regex(failed.get('log: what is removed is the log and nothing else') ?? '', /config\.json was deleted/)
  t.regex(failed.get('log: frames agree with entries') ?? '', /frames of/)
  t.regex(failed.get('log: a follow ends once the container has stopped, with all that it wrote') ?? '', /followed \d lines of 2/)
})
