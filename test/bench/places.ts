import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..')

const cgroupRoot = '/sys/fs/cgroup'

export function addNetworkNamespace(name: string): void {
  execFileSync('ip', ['netns', 'add', name])
  execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
}

export function removeNetworkNamespace(name: string): void {
  if (fs.existsSync(`/run/netns/${name}`)) execFileSync('ip', ['netns', 'del', name])
}

/** Removes a cgroup of this bench under every hierarchy, with whatever still runs in it. */
export async function removeCgroup(parent: string): Promise<void> {
  for (const hierarchy of ['', ...fs.readdirSync(cgroupRoot)]) await removeTree(path.join(cgroupRoot, hierarchy, parent))
}

async function removeTree(dir: string): Promise<void> {
  const procs = path.join(dir, 'cgroup.procs')
  if (!fs.existsSync(procs)) return
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) if (entry.isDirectory()) await removeTree(path.join(dir, entry.name))
  for (let attempt = 0; attempt < 100; attempt++) {
    for (const pid of fs.readFileSync(procs, 'utf8').split('\n').filter(Boolean)) kill(Number(pid))
    try {
      fs.rmdirSync(dir)
      return
    } catch {
      await sleep(10)
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

/** Removes a directory of this bench with every mount that was left below it. */
export function removeDirectory(dir: string): void {
  const targets = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))))
    .filter((target) => target.startsWith(`${dir}/`))
  for (const target of targets.reverse()) execFileSync('umount', ['-l', target], { stdio: 'ignore' })
  fs.rmSync(dir, { recursive: true, force: true })
}
