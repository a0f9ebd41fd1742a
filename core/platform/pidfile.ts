import fs from 'node:fs'
import path from 'node:path'
import { flock } from '../../native/index.js'
import { conflict, systemError } from '../sdk/errors.js'

/**
 * The daemon's pid in a file, for service managers and `tsd daemon --stop`. Locked while the daemon lives: what a killed one left is replaced,
 * whoever has its pid now.
 */
export class PidFile {
  private constructor(
    private readonly file: string,
    private readonly fd: number,
  ) {}

  static write(file: string): PidFile {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 })
    for (let attempt = 0; attempt < 10; attempt++) {
      const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644)
      if (!flock(fd, 'exclusive')) {
        const owner = fs.readFileSync(file, 'utf8').trim()
        fs.closeSync(fd)
        throw conflict(`the pid file ${file} belongs to another tsd daemon (pid ${owner}): stop it, or give this one another --pidfile`)
      }
      if (isAt(fd, file)) {
        fs.ftruncateSync(fd)
        fs.writeSync(fd, `${process.pid}\n`, 0)
        return new PidFile(file, fd)
      }
      // Its owner removed it between our open and our lock.
      fs.closeSync(fd)
    }
    throw systemError(`the pid file ${file} is being replaced by others all the time`)
  }

  remove(): void {
    if (isAt(this.fd, this.file)) fs.rmSync(this.file, { force: true })
    fs.closeSync(this.fd)
  }
}

function isAt(fd: number, file: string): boolean {
  const [mine, there] = [fs.fstatSync(fd), fs.statSync(file, { throwIfNoEntry: false })]
  return there?.ino === mine.ino && there.dev === mine.dev
}
