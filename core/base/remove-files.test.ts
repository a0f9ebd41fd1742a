import test from 'ava'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { removeFile, removeFiles } from './remove-files.js'

test('a directory goes with files, links and directories, and what links lead to stays', async (t) => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-remove-'))
  t.teardown(() => fs.rmSync(root, { recursive: true, force: true }))
  const outside = path.join(root, 'outside')
  fs.mkdirSync(outside)
  fs.writeFileSync(path.join(outside, 'kept'), '')
  const dir = path.join(root, 'dir')
  fs.mkdirSync(path.join(dir, 'below/deep'), { recursive: true })
  fs.writeFileSync(path.join(dir, 'file'), 'x')
  fs.writeFileSync(path.join(dir, 'below/deep/file'), 'x')
  fs.symlinkSync(outside, path.join(dir, 'link'))
  fs.symlinkSync(outside, path.join(dir, 'below/link'))
  await removeFiles(dir)
  t.false(fs.existsSync(dir))
  t.true(fs.existsSync(path.join(outside, 'kept')))
})

test('what is not there is no error, what is no directory is', async (t) => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-remove-'))
  t.teardown(() => fs.rmSync(root, { recursive: true, force: true }))
  await removeFiles(path.join(root, 'nothing'))
  await removeFile(path.join(root, 'nothing'))
  const file = path.join(root, 'file')
  fs.writeFileSync(file, '')
  await t.throwsAsync(removeFiles(file), { code: 'ENOTDIR' })
  await removeFile(file)
  t.false(fs.existsSync(file))
})
