// A daemon in the background, for a `tsd run` that finds none on the default socket.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Engine } from './engine.js'
import { daemonNodeFlags, localParts } from './local.js'
import { daemonAt, isDaemon } from './socket-owner.js'
import { ExitStatus, codeOf, messageOf } from './status.js'

const readyWithin = 30_000
const stopWithin = 60_000
const stopCommand = 'tsd daemon --stop'

function openLog(): { fd: number; file: string; from: number } {
  const tried: string[] = []
  for (const file of ['/var/log/tsd.log', '/run/tsd/daemon.log']) {
    try {
      fs.mkdirSync(path.dirname(file), { recursive: true })
      const fd = fs.openSync(file, 'a', 0o640)
      return { fd, file, from: fs.fstatSync(fd).size }
    } catch (error) {
      tried.push(messageOf(error))
    }
  }
  throw new ExitStatus(125, `tsd: cannot write a log for the daemon: ${tried.join('; ')}`)
}

function tail(file: string, from: number): string {
  const fd = fs.openSync(file, 'r')
  try {
    const size = fs.fstatSync(fd).size
    const start = Math.max(from, size - 8192)
    const text = Buffer.alloc(Math.max(0, size - start))
    fs.readSync(fd, text, 0, text.length, start)
    const lines = text.toString('utf8').trimEnd().split('\n').slice(-20)
    return lines.map((line) => `  ${line}`).join('\n')
  } finally {
    fs.closeSync(fd)
  }
}

/** Starts a daemon that outlives us and returns when it answers. */
export async function startDaemon(engine: Engine): Promise<void> {
  const { url } = engine.host
  if (process.getuid?.() !== 0) {
    throw new ExitStatus(
      125,
      `tsd: no engine answers on ${url}, and starting one needs root.\nRun 'sudo tsd run ...', or have root run 'tsd daemon' and put you into the socket's group.`,
    )
  }
  if (!fs.existsSync(localParts.daemon))
    throw new ExitStatus(125, `tsd: no engine answers on ${url}, and ${localParts.daemon} is missing: build with 'npm run build'`)
  const log = openLog()
  process.stderr.write(`No engine answers on ${url}: starting one in the background.\n  log:  ${log.file}\n  stop: ${stopCommand}\n`)
  const child = spawn(process.execPath, [...daemonNodeFlags, localParts.daemon], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    cwd: '/',
  })
  fs.closeSync(log.fd)
  let ended: string | undefined
  child.once('exit', (code, signal) => (ended = signal ? `was killed by ${signal}` : `ended with code ${code}`))
  child.once('error', (error) => (ended = `could not be started: ${messageOf(error)}`))
  const began = Date.now()
  while (Date.now() - began < readyWithin) {
    await sleep(20)
    if (ended !== undefined)
      throw new ExitStatus(
        125,
        `tsd: the daemon ${ended} before it was ready. The end of its log, ${log.file}:\n${tail(log.file, log.from)}\n'tsd doctor' shows what this machine lacks.`,
      )
    try {
      await engine.ping(2000)
      child.unref()
      return
    } catch (error) {
      if (codeOf(error) === 'EACCES') throw error
    }
  }
  child.unref()
  throw new ExitStatus(
    125,
    `tsd: the daemon (pid ${child.pid}) does not answer on ${url} after ${readyWithin / 1000} s; it was left running. The end of its log, ${log.file}:\n${tail(log.file, log.from)}`,
  )
}

export async function stopDaemon(engine: Engine): Promise<number> {
  const { url, target } = engine.host
  if (!target.socketPath)
    throw new ExitStatus(1, `tsd: only a daemon on a unix socket of this machine can be stopped so, and ${url} is none`)
  const pid = daemonAt(target.socketPath)
  if (pid === undefined) {
    const why = process.getuid?.() === 0 ? 'no tsd daemon listens there' : 'none was found; only root can see it'
    throw new ExitStatus(1, `tsd: no daemon to stop at ${url}: ${why}`)
  }
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    throw new ExitStatus(
      1,
      `tsd: cannot stop the daemon (pid ${pid}): ${codeOf(error) === 'EPERM' ? 'it belongs to another user; use sudo' : messageOf(error)}`,
    )
  }
  const began = Date.now()
  while (isDaemon(pid)) {
    if (Date.now() - began > stopWithin)
      throw new ExitStatus(1, `tsd: the daemon (pid ${pid}) is still stopping after ${stopWithin / 1000} s; its log says why`)
    await sleep(20)
  }
  process.stdout.write(`Stopped the daemon (pid ${pid}).\n`)
  return 0
}
