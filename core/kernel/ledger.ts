import fs from 'node:fs'
import path from 'node:path'
import { dataLoss, systemError } from '../sdk/errors.js'
import type { LedgerEntry, LedgerResource, RunLedger } from '../sdk/registry.js'

interface Line {
  /** intent, fact, released */
  t: 'i' | 'f' | 'r'
  o: string
  r: LedgerResource[]
}

const version = 1

/** Rewritten once this much of the file speaks of what is gone. */
const compactAfterBytes = 2 * 1024 * 1024
const entriesPerTurn = 200

const verbs: readonly string[] = ['i', 'f', 'r']

const idOf = (owner: string, resource: { kind: string; key: string }): string => `${owner}\0${resource.kind}\0${resource.key}`

/**
 * Append-only file of JSON lines, one write per call, never fsynced: it lives on tmpfs and survives the kill of any process.
 * A torn last line was never acknowledged and is cut off when the file is opened.
 */
export class FileLedger implements RunLedger {
  /** Lines that could not be read, for the boot report. */
  readonly damaged: number
  private fd: number
  private size: number
  private live = new Map<string, LedgerEntry>()
  private byOwner = new Map<string, Set<string>>()
  private compactAt = compactAfterBytes
  /** Lines written while a compaction is under way. */
  private during: string[] | undefined
  private closed = false

  constructor(private readonly file: string) {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o711 })
    this.fd = fs.openSync(file, 'a+', 0o600)
    const content = fs.readFileSync(this.fd)
    const end = content.lastIndexOf(0x0a) + 1
    if (end < content.length) fs.ftruncateSync(this.fd, end)
    let damaged = 0
    for (const text of content.subarray(0, end).toString('utf8').split('\n')) {
      if (text === '') continue
      const line = parseLine(text)
      if (line === undefined) damaged++
      else if ('t' in line) this.apply(line)
      else if (line.version > version) {
        fs.closeSync(this.fd)
        throw dataLoss(`${file} was written by a newer tsd (ledger version ${line.version}, this one knows ${version}): start that one`)
      }
    }
    this.damaged = damaged
    this.size = end
    this.rewriteNow()
  }

  intend(owner: string, resources: LedgerResource[]): void {
    this.append({ t: 'i', o: owner, r: resources })
  }

  fact(owner: string, resources: LedgerResource[]): void {
    this.append({ t: 'f', o: owner, r: resources })
  }

  released(owner: string, resources: { kind: string; key: string }[]): void {
    const known = resources.filter((resource) => this.live.has(idOf(owner, resource)))
    this.append({ t: 'r', o: owner, r: known.map(({ kind, key }) => ({ kind, key })) })
  }

  entries(owner?: string): LedgerEntry[] {
    if (owner === undefined) return [...this.live.values()]
    return [...(this.byOwner.get(owner) ?? [])].map((id) => this.live.get(id) as LedgerEntry)
  }

  owners(): string[] {
    return [...this.byOwner.keys()]
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    fs.closeSync(this.fd)
  }

  private append(line: Line): void {
    if (line.r.length === 0) return
    const text = `${JSON.stringify(line)}\n`
    const bytes = Buffer.from(text)
    let written = 0
    try {
      written = fs.writeSync(this.fd, bytes)
    } catch (error) {
      throw systemError(`run ledger ${this.file}: ${(error as Error).message}`, {
        cause: error,
        code: (error as NodeJS.ErrnoException).code ?? 'EIO',
      })
    }
    if (written < bytes.length) {
      // Half a line would be joined with the next one.
      fs.ftruncateSync(this.fd, this.size)
      throw systemError(`run ledger ${this.file}: no space left on device`, { code: 'ENOSPC' })
    }
    this.size += bytes.length
    this.during?.push(text)
    this.apply(line)
    if (this.size > this.compactAt && this.during === undefined) void this.compact()
  }

  private apply({ t, o: owner, r: resources }: Line): void {
    const owned = this.byOwner.get(owner) ?? new Set<string>()
    for (const resource of resources) {
      const id = idOf(owner, resource)
      const before = this.live.get(id)
      if (t === 'r') {
        this.live.delete(id)
        owned.delete(id)
        continue
      }
      const data = before?.data === undefined && resource.data === undefined ? undefined : { ...before?.data, ...resource.data }
      this.live.set(id, {
        owner,
        kind: resource.kind,
        key: resource.key,
        ...(data === undefined ? {} : { data }),
        state: t === 'f' ? 'fact' : 'intent',
      })
      owned.add(id)
    }
    if (owned.size === 0) this.byOwner.delete(owner)
    else this.byOwner.set(owner, owned)
  }

  /** At open, when nobody waits. */
  private rewriteNow(): void {
    const text = header + [...this.live.values()].map(toLine).join('')
    if (Buffer.byteLength(text) === this.size) return
    const temporary = `${this.file}.new`
    fs.writeFileSync(temporary, text, { mode: 0o600 })
    this.replaceBy(temporary, Buffer.byteLength(text))
  }

  /** While serving: a few entries per turn of the loop. What is appended meanwhile goes to both files. */
  private async compact(): Promise<void> {
    this.during = []
    const temporary = `${this.file}.new`
    const snapshot = [...this.live.values()]
    let out: number | undefined
    try {
      out = fs.openSync(temporary, 'w', 0o600)
      let size = fs.writeSync(out, header)
      for (let index = 0; index < snapshot.length; index += entriesPerTurn) {
        size += fs.writeSync(
          out,
          snapshot
            .slice(index, index + entriesPerTurn)
            .map(toLine)
            .join(''),
        )
        await new Promise((resolve) => setImmediate(resolve))
      }
      size += fs.writeSync(out, this.during.join(''))
      if (size !== fs.fstatSync(out).size || this.closed) throw new Error('incomplete')
      this.replaceBy(temporary, size)
    } catch {
      // The old file is whole; another attempt comes after more has been written.
      fs.rmSync(temporary, { force: true })
    } finally {
      if (out !== undefined) fs.closeSync(out)
      this.compactAt = this.size + compactAfterBytes
      this.during = undefined
    }
  }

  private replaceBy(temporary: string, size: number): void {
    const fd = fs.openSync(temporary, 'a', 0o600)
    fs.renameSync(temporary, this.file)
    fs.closeSync(this.fd)
    this.fd = fd
    this.size = size
  }
}

const header = `${JSON.stringify({ version })}\n`

const toLine = ({ owner, state, ...resource }: LedgerEntry): string =>
  `${JSON.stringify({ t: state === 'fact' ? 'f' : 'i', o: owner, r: [resource] } satisfies Line)}\n`

function parseLine(text: string): Line | { version: number } | undefined {
  try {
    const line = JSON.parse(text) as (Partial<Line> & { version?: unknown }) | null
    if (typeof line?.version === 'number') return { version: line.version }
    const whole = typeof line?.o === 'string' && Array.isArray(line.r) && verbs.includes(line.t as string)
    const resources =
      whole && (line.r as Partial<LedgerResource>[]).every((one) => typeof one?.kind === 'string' && typeof one.key === 'string')
    return resources ? (line as Line) : undefined
  } catch {
    return undefined
  }
}

/** Intent, work, fact. When the work fails the intent stays, and whoever unwinds releases what there may be. */
export async function recorded<T>(ledger: RunLedger, owner: string, resources: LedgerResource[], work: () => Promise<T>): Promise<T> {
  ledger.intend(owner, resources)
  const result = await work()
  ledger.fact(owner, resources)
  return result
}
