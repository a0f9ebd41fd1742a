import fs from 'node:fs'
import fsp from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import type { Logger } from 'tsd-engine/sdk'
import { testLogDriver } from 'tsd-engine/sdk/testing'
import { LocalLog } from './driver.js'

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

for (const compress of ['false', 'true'])
  testLogDriver(
    (name, run) => test(`${name}, compress ${compress}`, async (t) => t.notThrowsAsync(run)),
    () => {
      const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-log-local-'))
      return Promise.resolve({ driver: () => Promise.resolve(new LocalLog(silent)), dir, remove: () => fsp.rm(dir, { recursive: true }) })
    },
    { config: { 'max-size': '10m', 'max-file': '3', compress } },
  )

test('options are checked when a container is created', async (t) => {
  const driver = new LocalLog(silent)
  await driver.validate({ 'max-size': '10m', 'max-file': '1' })
  const refused: [Record<string, string>, RegExp][] = [
    [{ tag: 'x' }, /^unknown log opt 'tag' for local log driver$/],
    [{ 'max-size': '0' }, /max-size must be a positive number/],
    [{ 'max-file': '0' }, /max-file cannot be less than 1/],
    [{ 'max-file': '1', compress: 'true' }, /compress cannot be true/],
  ]
  for (const [config, message] of refused) {
    const error = await t.throwsAsync(driver.validate(config), { message })
    t.is((error as unknown as { category: string }).category, 'InvalidParameter')
  }
})
