import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import { PidFile } from './pidfile.js'

test('one daemon owns a pid file; what a dead one left is replaced, what others put there stays', (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-pidfile-'))
  t.teardown(() => fs.rmSync(dir, { recursive: true }))
  const file = path.join(dir, 'run/tsd.pid')
  const first = PidFile.write(file)
  t.is(fs.readFileSync(file, 'utf8'), `${process.pid}\n`)
  t.throws(() => PidFile.write(file), { message: new RegExp(`belongs to another tsd daemon \\(pid ${process.pid}\\)`) })
  first.remove()
  t.false(fs.existsSync(file))
  // The pid of somebody who lives, but holds no lock: left by a daemon that was killed.
  fs.writeFileSync(file, `${process.ppid} and more`)
  const second = PidFile.write(file)
  t.is(fs.readFileSync(file, 'utf8'), `${process.pid}\n`)
  fs.rmSync(file)
  fs.writeFileSync(file, 'somebody else')
  second.remove()
  t.is(fs.readFileSync(file, 'utf8'), 'somebody else')
})
