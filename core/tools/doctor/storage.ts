import fs from 'node:fs'
import path from 'node:path'
import { tellsTypes } from '../../../native/index.js'
import { formatDecimalSize } from '../../base/sizes.js'
import type { Finding, Machine } from './finding.js'
import { finding, yes } from './finding.js'

const names: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlay',
  0x2fc12fc1: 'zfs',
  0x6969: 'nfs',
  0x65735546: 'fuse',
  0xff534d42: 'cifs',
  0xf2f52010: 'f2fs',
  0x61756673: 'aufs',
  0xf15f: 'ecryptfs',
}
const tmpfs = 0x01021994
/** Overlay refuses an upper directory there. */
const noUpper = ['overlay', 'nfs', 'fuse', 'cifs', 'aufs', 'ecryptfs']

export function storageFindings(machine: Machine): Finding[] {
  const where = machine.fileSystem(machine.dataRoot)
  const name = where ? (names[where.type] ?? `type 0x${where.type.toString(16)}`) : 'unknown'
  const there = where ? where.path : machine.dataRoot
  return [overlay(machine, there, name), directoryTypes(there), disk(machine, where), inodes(machine, where), run(machine)]
}

function overlay(machine: Machine, there: string, name: string): Finding {
  const way =
    'modprobe overlay, and put the data root (--data-root) on ext4, xfs with ftype=1 or tmpfs; without overlay the vfs driver is used, which copies'
  const known = /\boverlay\b/.test(machine.read('/proc/filesystems') ?? '')
  if (noUpper.includes(name))
    return finding('overlay', 'graph overlay2', 'missing', `${there} is ${name}, which cannot hold its upper directories`, way)
  const tried = machine.root ? tryOverlay(machine, there) : undefined
  if (tried === undefined)
    return finding(
      'overlay',
      'graph overlay2',
      known ? 'unproven' : 'missing',
      known ? `in the kernel; not tried on ${name} at ${there}` : 'not in /proc/filesystems',
      way,
    )
  return finding(
    'overlay',
    'graph overlay2',
    yes(tried),
    tried ? `mounted on ${name} at ${there}` : `cannot be mounted on ${name} at ${there}${known ? '' : ': not in the kernel'}`,
    way,
  )
}

/** A real mount, in a mount namespace of its own that ends with the command. */
function tryOverlay(machine: Machine, there: string): boolean | undefined {
  const unshare = machine.program('unshare')
  if (!unshare || !machine.program('mount')) return undefined
  let dir: string
  try {
    dir = fs.mkdtempSync(path.join(there, '.tsd-doctor-'))
  } catch {
    return undefined
  }
  try {
    for (const part of ['lower', 'upper', 'work', 'merged']) fs.mkdirSync(path.join(dir, part))
    const script =
      'cd "$1" && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged && touch merged/x && test -e upper/x'
    return machine.run(unshare, ['-m', '--propagation', 'private', 'sh', '-c', script, 'sh', dir]).status === 0
  } finally {
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

function directoryTypes(there: string): Finding {
  const way = 'xfs without ftype=1 must be made again: mkfs.xfs -n ftype=1'
  try {
    return finding(
      'd_type',
      'graph overlay2',
      yes(tellsTypes(fs.readdirSync(there).some((n) => !n.startsWith('.')) ? there : '/')),
      `directories of ${there} tell the types of their entries`,
      way,
    )
  } catch {
    return finding('d_type', 'graph overlay2', 'unproven', `${there} cannot be read`, way)
  }
}

type Where = ReturnType<Machine['fileSystem']>

function disk(machine: Machine, where: Where): Finding {
  if (!where) return finding('disk space', 'images, containers', 'unproven', `${machine.dataRoot} cannot be asked`, '')
  return finding(
    'disk space',
    'images, containers',
    yes(where.free > 1e9),
    `${formatDecimalSize(where.free, 3)} free for ${machine.dataRoot}`,
    'free some, or choose another disk with --data-root',
  )
}

function inodes(machine: Machine, where: Where): Finding {
  if (!where || where.inodes === 0) return finding('inodes', 'graph', 'works', 'the file system makes them as needed')
  return finding(
    'inodes',
    'graph, vfs most',
    yes(where.freeInodes > 50_000),
    `${where.freeInodes} of ${where.inodes} free for ${machine.dataRoot}`,
    'remove many small files, or choose another disk with --data-root',
  )
}

function run(machine: Machine): Finding {
  const where = machine.fileSystem('/run')
  return finding(
    '/run',
    'restart after a reboot',
    yes(where?.type === tmpfs),
    where?.type === tmpfs ? 'tmpfs' : 'on a disk: what a reboot destroys would survive it',
    'mount -t tmpfs tmpfs /run at boot',
  )
}
