import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import { Fence } from './fence.js'

const roots = () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-fence-'))
  return { dataRoot: path.join(dir, 'data'), execRoot: path.join(dir, 'run') }
}

test('a second daemon on one data root is refused by name', async (t) => {
  const places = roots()
  const fence = await Fence.acquire(places)
  await t.throwsAsync(() => Fence.acquire(places), {
    message: new RegExp(`${places.dataRoot} is in use by another tsd daemon \\(pid ${process.pid}\\)`),
  })
  fence.release()
  const again = await Fence.acquire(places)
  again.release()
})

test('a helper that outlives its daemon is waited for, then killed, and nobody else is', async (t) => {
  const places = roots()
  const fence = await Fence.acquire(places)
  const helper = spawn('flock', ['-F', '-s', fence.generationFile, 'sleep', '100'], { stdio: 'ignore' })
  const stranger = spawn('sleep', ['100'], { stdio: 'ignore' })
  fence.recordHelper(helper.pid ?? 0)
  fs.appendFileSync(path.join(places.execRoot, 'helpers'), `${stranger.pid} 1 elsewhere\n`)
  fence.release()
  const ended = new Promise<string>((resolve) => helper.once('exit', (_code, signal) => resolve(String(signal))))
  const next = await Fence.acquire(places)
  t.is(await ended, 'SIGKILL')
  t.is(stranger.exitCode, null)
  t.is(stranger.signalCode, null)
  stranger.kill()
  next.release()
})
