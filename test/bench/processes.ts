import fs from 'node:fs'

interface Process {
  pid: number
  parent: number
  name: string
}

function* processes(): Generator<Process> {
  for (const entry of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const stat = fs.readFileSync(`/proc/${entry}/stat`, 'utf8')
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      yield { pid: Number(entry), parent: Number(parent), name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')) }
    } catch {
      // It ended meanwhile.
    }
  }
}

export function descendants(of: number): number[] {
  const children = new Map<number, number[]>()
  for (const { pid, parent } of processes()) children.set(parent, [...(children.get(parent) ?? []), pid])
  const found: number[] = []
  for (const pending = [of]; pending.length > 0;) {
    const below = children.get(pending.pop() as number) ?? []
    found.push(...below)
    pending.push(...below)
  }
  return found
}

export function parentOf(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

export function nameOf(pid: number): string {
  return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
}

/** Proportional set size, in kB. */
export function pss(pid: number): number {
  const match = /^Pss:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))
  return Number(match?.[1] ?? 0)
}

export function totalPss(pids: number[]): number {
  return pids.reduce((sum, pid) => sum + pss(pid), 0)
}
