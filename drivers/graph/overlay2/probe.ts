import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { messageOf } from 'tsd-engine/sdk'
import type { DriverContext, Mounter, ProbeResult } from 'tsd-engine/sdk'
import { tellsTypes } from 'tsd-engine/native'

const refuse = (reason: string): ProbeResult => ({ ok: false, reason })

/** The file system that will hold the layers may not have their directory yet. */
async function nearest(dir: string): Promise<string> {
  for (let at = dir; ; at = path.dirname(at)) {
    try {
      if ((await fs.stat(at)).isDirectory()) return at
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || at === '/') throw error
    }
  }
}

/** Mounts a real overlay and deletes through it: leaves nothing behind. */
async function tryMount(dir: string, mounter: Mounter): Promise<ProbeResult> {
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => path.join(dir, name)) as [
    string,
    string,
    string,
    string,
  ]
  for (const one of [lower, upper, work, merged]) await fs.mkdir(one)
  await fs.writeFile(path.join(lower, 'file'), '')
  if (!tellsTypes(lower)) return refuse(`the file system of ${path.dirname(dir)} does not support d_type (xfs needs ftype=1)`)
  const options = [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`]
  try {
    await mounter.mount([{ type: 'overlay', source: 'overlay', options }], merged)
  } catch (error) {
    return refuse(`an overlay cannot be mounted on ${path.dirname(dir)}: ${messageOf(error)}`)
  }
  try {
    await fs.rm(path.join(merged, 'file'))
    const whiteout = await fs.lstat(path.join(upper, 'file'))
    return whiteout.isCharacterDevice() ? { ok: true } : refuse('overlay does not record deletions here')
  } finally {
    await mounter.unmount(merged)
  }
}

export async function probe(ctx: DriverContext): Promise<ProbeResult> {
  if (process.getuid?.() !== 0) return refuse('needs root')
  // These separate overlay's mount options and cannot be told from them by every kernel.
  if (/[,:\\]/.test(ctx.dataDir))
    return refuse(`${ctx.dataDir} holds a comma, colon or backslash, which overlay's mount options cannot carry`)
  const fileSystems = await fs.readFile('/proc/filesystems', 'utf8')
  if (!/\boverlay$/m.test(fileSystems)) return refuse('the kernel has no overlay file system (try: modprobe overlay)')
  const base = await nearest(ctx.dataDir)
  const dir = path.join(base, `.tsd-probe-${randomBytes(6).toString('hex')}`)
  try {
    await fs.mkdir(dir, { mode: 0o700 })
    return await tryMount(dir, ctx.mounter)
  } catch (error) {
    return refuse(messageOf(error))
  } finally {
    await fs.rm(dir, { recursive: true, force: true })
  }
}
