import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodePlan, type HostOp } from '../../native/index.js'
import { KeyedLock } from '../base/keyed-lock.js'
import { invalidParameter, isTsdError } from '../sdk/errors.js'
import type { MountInstruction } from '../sdk/kinds/graph.js'
import type { Mounter, Spawner } from '../sdk/ports.js'

const DEADLINE = 30_000
const LONGEST_BUSY_WAIT = 500
const EINVAL = 22
const ENOENT = 2
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

const MS_REC = 0x4000
const MS_PRIVATE = 0x40000
const MS_SLAVE = 0x80000
const MS_SHARED = 0x100000

/** MOUNT_ATTR_*: what to set and what to clear. */
const attributes: Record<string, { set?: number; clear?: number }> = {
  ro: { set: 0x1 },
  rw: { clear: 0x1 },
  nosuid: { set: 0x2 },
  suid: { clear: 0x2 },
  nodev: { set: 0x4 },
  dev: { clear: 0x4 },
  noexec: { set: 0x8 },
  exec: { clear: 0x8 },
  noatime: { set: 0x10, clear: 0x70 },
  strictatime: { set: 0x20, clear: 0x70 },
  relatime: { clear: 0x70 },
  nodiratime: { set: 0x80 },
  diratime: { clear: 0x80 },
}
const propagations: Record<string, number> = { private: MS_PRIVATE, slave: MS_SLAVE, shared: MS_SHARED }

interface Parsed {
  set: number
  clear: number
  propagation: number
  recursive: boolean
  data: string[]
}

function parse(options: readonly string[]): Parsed {
  const parsed: Parsed = { set: 0, clear: 0, propagation: 0, recursive: false, data: [] }
  for (const option of options) {
    const attribute = attributes[option]
    const bare = option.startsWith('r') ? option.slice(1) : option
    const propagation = propagations[option] ?? propagations[bare]
    if (attribute) {
      const clear = attribute.clear ?? 0
      parsed.set = (parsed.set & ~clear) | (attribute.set ?? 0)
      parsed.clear |= clear
    } else if (option === 'bind' || option === 'defaults') continue
    else if (option === 'rbind') parsed.recursive = true
    else if (propagation !== undefined) parsed.propagation = propagation | (bare === option ? 0 : MS_REC)
    else parsed.data.push(option)
  }
  return parsed
}

function mountOps(instruction: MountInstruction, target: string, slot: number): HostOp[] {
  const { set, clear, propagation, recursive, data } = parse(instruction.options)
  const place: HostOp = { op: 'moveMount', slot, path: target, propagation }
  if (instruction.type !== 'bind') {
    return [{ op: 'fsmount', slot, fstype: instruction.type, source: instruction.source, options: data, attrs: set }, place]
  }
  if (data.length > 0) throw invalidParameter(`cannot mount ${instruction.source} on ${target}: a bind mount has no option "${data[0]}"`)
  const ops: HostOp[] = [{ op: 'openTree', slot, path: instruction.source, recursive }]
  if (set !== 0 || clear !== 0) ops.push({ op: 'mountAttr', slot, set, clear, recursive })
  return [...ops, place]
}

/** mountinfo writes blanks, newlines and backslashes in octal. */
const unescape = (field: string) => field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))

/** Mounts through helpers of the zygote, which shares the daemon's mount namespace: a server that hangs holds up the helper alone. */
export class HelperMounter implements Mounter {
  readonly #locks = new KeyedLock()

  constructor(
    private readonly spawner: Spawner,
    private readonly deadline: number = DEADLINE,
  ) {}

  mount(instructions: MountInstruction[], target: string): Promise<void> {
    return this.#locks.run(target, async () => {
      const there = await this.#count(target)
      if (there >= instructions.length) return
      // A call that died half way left some: they are no use without the others.
      for (let i = 0; i < there; i++) await this.#umount(target, 0)
      const ops = instructions.flatMap((instruction, slot) => mountOps(instruction, target, slot))
      try {
        await this.#run(`mount on ${target}`, ops)
      } catch (error) {
        for (let left = await this.#count(target); left > 0; left--) await this.#umount(target, MNT_DETACH)
        throw error
      }
    })
  }

  unmount(target: string, options: { lazy?: boolean } = {}): Promise<void> {
    return this.#locks.run(target, async () => {
      for (let left = await this.#count(target); left > 0; left--) await this.#umount(target, options.lazy ? MNT_DETACH : 0)
    })
  }

  async mounted(target: string): Promise<boolean> {
    return (await this.#count(target)) > 0
  }

  async #count(target: string): Promise<number> {
    // Only what is above the target is looked at: the mount itself may be one that does not answer.
    const parent = await fs.realpath(path.dirname(target)).catch(() => path.dirname(target))
    const wanted = Buffer.from(path.join(parent, path.basename(target))).toString('latin1')
    const table = await fs.readFile('/proc/self/mountinfo', 'latin1')
    let count = 0
    for (const line of table.split('\n')) if (unescape(line.split(' ', 5)[4] ?? '') === wanted) count++
    return count
  }

  /** Whoever looks at a mount point holds it for a moment: busy is asked again before it is believed. */
  async #umount(target: string, flags: number): Promise<void> {
    for (let wait = 5; ; wait *= 2) {
      try {
        return await this.#run(`unmount ${target}`, [
          { op: 'umount', path: target, flags: flags | UMOUNT_NOFOLLOW, ignore: [EINVAL, ENOENT] },
        ])
      } catch (error) {
        if (!isTsdError(error) || error.code !== 'EBUSY' || wait > LONGEST_BUSY_WAIT) throw error
        await sleep(wait)
      }
    }
  }

  async #run(name: string, ops: HostOp[]): Promise<void> {
    await this.spawner.run(encodePlan({ host: ops }), { deadline: this.deadline, name })
  }
}
