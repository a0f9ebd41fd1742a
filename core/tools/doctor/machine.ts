import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import type { Machine } from './finding.js'

const attempt = <T>(run: () => T): T | undefined => {
  try {
    return run()
  } catch {
    return undefined
  }
}

const searchPath = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`

/** The machine that we run on. */
export function thisMachine(dataRoot: string): Machine {
  return {
    root: process.getuid?.() === 0,
    dataRoot,
    read: (file) => attempt(() => fs.readFileSync(file, 'utf8')),
    exists: (file) => fs.existsSync(file),
    list: (dir) => attempt(() => fs.readdirSync(dir)) ?? [],
    fileSystem(file) {
      let at = path.resolve(file)
      while (!fs.existsSync(at)) at = path.dirname(at)
      const stat = attempt(() => fs.statfsSync(at))
      return stat && { path: at, type: stat.type, free: stat.bavail * stat.bsize, inodes: stat.files, freeInodes: stat.ffree }
    },
    program: (name) =>
      searchPath
        .split(':')
        .map((dir) => path.join(dir, name))
        .find((file) => isExecutable(file)),
    run(command, args) {
      const { status, stdout } = spawnSync(command, args, {
        encoding: 'utf8',
        timeout: 5000,
        env: { ...process.env, PATH: searchPath, LC_ALL: 'C' },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      return { status: status ?? -1, output: stdout ?? '' }
    },
  }
}

function isExecutable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}
