// Reads a json-file log back: node dist/test/bench/json-file-read.js [MB of file]
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { performance, monitorEventLoopDelay } from 'node:perf_hooks'
import { readEntries, readFrames } from '../../plugins/log-json-file/reader.js'

const megabytes = Number(process.argv[2] ?? 200)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-bench-log-'))
const file = path.join(dir, 'x-json.log')
const payload = 'the quick brown fox jumps over the lazy dog 0123456789 the quick br'
const fd = fs.openSync(file, 'w')
let lines = 0
for (let written = 0; written < megabytes * 1e6;) {
  const block: string[] = []
  for (let i = 0; i < 5000; i++)
    block.push(
      `{"log":"${payload} ${lines++ % 10}\\n","stream":"stdout","time":"2024-05-06T07:08:09.${String(lines % 1e9)
        .padStart(9, '0')
        .replace(/0$/, '1')}Z"}\n`,
    )
  written += fs.writeSync(fd, block.join(''))
}
fs.closeSync(fd)

const never = new AbortController().signal
const options = { follow: false, stopped: never, signal: never }
const report = (name: string, bytes: number, started: number): void => {
  const seconds = (performance.now() - started) / 1000
  console.log(
    `${name}: ${(bytes / 1e6 / seconds).toFixed(0)} MB/s of payload, ${(fs.statSync(file).size / 1e6 / seconds).toFixed(0)} MB/s of file, ${(lines / 1e6 / seconds).toFixed(2)} M lines/s`,
  )
}

try {
  console.log(
    `${lines} lines of ${Math.round(fs.statSync(file).size / lines)} bytes, ${payload.length + 3} of payload, load ${os.loadavg()[0]?.toFixed(1)}`,
  )
  for (let round = 0; round < 3; round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    let bytes = 0
    let started = performance.now()
    for await (const chunk of readFrames(file, { ...options, stdout: true, stderr: true, framed: true })) bytes += chunk.length
    report('frames ', bytes - lines * 8, started)
    bytes = 0
    started = performance.now()
    for await (const entries of readEntries(file, options)) for (const entry of entries) bytes += entry.line.length
    report('entries', bytes, started)
    delay.disable()
    console.log(`event loop delay: p50 ${(delay.percentile(50) / 1e6).toFixed(2)} ms, p99 ${(delay.percentile(99) / 1e6).toFixed(2)} ms`)
  }
} finally {
  fs.rmSync(dir, { recursive: true })
}
