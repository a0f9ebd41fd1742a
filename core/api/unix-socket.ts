import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { conflict, invalidParameter, messageOf, systemError } from '../sdk/errors.js'
import type { Logger } from '../sdk/ports.js'

const longest = 107
/** Group of Docker's sockets: dockerd does without it where it is missing. */
const customary = 'docker'

/** Number of a group given by name or number. */
export async function groupId(group: string): Promise<number | undefined> {
  if (/^\d+$/.test(group)) return Number(group)
  const text = await fs.readFile('/etc/group', 'utf8')
  for (const entry of text.split('\n')) {
    const [name, , id] = entry.split(':')
    if (name === group && id !== undefined && /^\d+$/.test(id)) return Number(id)
  }
  return undefined
}

function answers(file: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(file)
    const timer = setTimeout(() => settle(() => resolve(true)), 2_000)
    const settle = (act: () => void): void => {
      clearTimeout(timer)
      socket.destroy()
      act()
    }
    socket.once('connect', () => settle(() => resolve(true)))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(() => {
        if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
        // A full backlog is somebody who is there.
        else if (error.code === 'EAGAIN') resolve(true)
        else reject(systemError(`cannot tell whether a daemon answers on ${file}: ${error.message}`, { cause: error }))
      }),
    )
  })
}

/** Rejects when a socket cannot be put there. */
export async function checkPlace(file: string): Promise<void> {
  const stat = await fs.lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw systemError(`cannot look at ${file}: ${error.message}`, { cause: error })
  })
  if (stat === undefined) return
  if (!stat.isSocket()) throw conflict(`cannot listen on unix://${file}: it exists and is not a socket; remove it or choose another path`)
  if (await answers(file))
    throw conflict(`cannot listen on unix://${file}: another process answers there; stop it or choose another socket with -H`)
}

/**
 * Listens under a temporary name and moves the socket into place with its final mode and owner: nobody can connect before, and a stale
 * socket is replaced in one step. Answers how to remove it.
 */
export async function listenUnix(server: net.Server, file: string, group: string, logger: Logger): Promise<() => Promise<void>> {
  if (!path.isAbsolute(file)) throw invalidParameter(`unix://${file}: the path of a unix socket must be absolute`)
  const temporary = `${file}.${process.pid}`
  if (Buffer.byteLength(temporary) > longest)
    throw invalidParameter(
      `unix://${file}: the path is too long for a unix socket (the kernel takes ${longest} bytes, ${longest - 12} to be safe)`,
    )
  const gid = group === '' ? undefined : await groupId(group)
  if (group !== '' && gid === undefined) {
    if (group !== customary)
      throw invalidParameter(`the group "${group}" for unix://${file} is not in /etc/group: create it with groupadd ${group}`)
    logger.warn(`no group "${group}": only root can use unix://${file}`)
  }
  await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o755 })
  await checkPlace(file)
  await fs.rm(temporary, { force: true })
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => reject(systemError(`cannot listen on unix://${file}: ${messageOf(error)}`, { cause: error }))
    server.once('error', fail)
    server.listen(temporary, () => {
      server.off('error', fail)
      resolve()
    })
  })
  try {
    if (gid !== undefined) await fs.chown(temporary, process.getuid?.() ?? 0, gid)
    await fs.chmod(temporary, 0o660)
    const { ino } = await fs.lstat(temporary)
    await fs.rename(temporary, file)
    return async () => {
      const now = await fs.lstat(file).catch(() => undefined)
      if (now?.ino === ino) await fs.rm(file, { force: true })
    }
  } catch (error) {
    server.close()
    await fs.rm(temporary, { force: true })
    throw systemError(`cannot set up unix://${file}: ${messageOf(error)}`, { cause: error })
  }
}
