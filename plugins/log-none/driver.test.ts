import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { NoLog } from './driver.js'

testLogDriver(
  (name, run) => test(name, async (t) => t.notThrowsAsync(run)),
  () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-log-none-'))
    return Promise.resolve({ driver: () => Promise.resolve(new NoLog()), dir, remove: () => fs.promises.rm(dir, { recursive: true }) })
  },
  { ignoresOptions: true },
)
