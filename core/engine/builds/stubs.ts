// Takes out of a step's layer what only was made to have something to mount on.
import { Readable } from 'node:stream'
import type { Located } from '../ports/index.js'

const BLOCK = 512

/** Files and directories that every start makes where an image lacks them. */
export const alwaysMounted = ['etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'dev', 'proc', 'sys']

interface Entry {
  name: string
  directory: boolean
  mode: number
  uid: number
  gid: number
  /** Bytes of the body, padding included. */
  body: number
  /** Empty file or directory, told by one plain header. */
  bare: boolean
  /** Header blocks as they came, an extended header's body among them. */
  blocks: Buffer[]
}

/** Reads what drivers pack: ustar, with pax or GNU headers before where ustar cannot say it. */
class Blocks {
  private readonly source: AsyncIterator<Buffer>
  private chunk: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>) {
    this.source = source[Symbol.asyncIterator]()
  }

  /** Up to `limit` bytes, at least one; undefined at the end. */
  async take(limit: number): Promise<Buffer | undefined> {
    while (this.chunk.length === 0) {
      const next = await this.source.next()
      if (next.done === true) return undefined
      this.chunk = next.value
    }
    const piece = this.chunk.subarray(0, limit)
    this.chunk = this.chunk.subarray(piece.length)
    return piece
  }

  async exactly(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = []
    for (let rest = length; rest > 0;) {
      const piece = await this.take(rest)
      if (piece === undefined) return undefined
      parts.push(piece)
      rest -= piece.length
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts)
  }
}

const text = (block: Buffer, start: number, length: number): string => {
  const end = block.indexOf(0, start)
  return block.toString('latin1', start, end < 0 || end > start + length ? start + length : end)
}
/** Octal, or base 256 for what is too large. */
function numeric(block: Buffer, start: number, length: number): number {
  if (((block[start] ?? 0) & 0x80) === 0) return parseInt(text(block, start, length).trim() || '0', 8)
  return Number(BigInt(`0x${block.toString('hex', start + 1, start + length)}`))
}
const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK

async function nextEntry(blocks: Blocks): Promise<Entry | undefined> {
  const gathered: Buffer[] = []
  let extended = ''
  let long: string | undefined
  for (;;) {
    const block = await blocks.exactly(BLOCK)
    if (block === undefined || block[0] === 0) return undefined
    gathered.push(block)
    const type = String.fromCharCode(block[156] ?? 0)
    const size = numeric(block, 124, 12)
    if ('xgLK'.includes(type)) {
      const body = await blocks.exactly(padded(size))
      if (body === undefined) return undefined
      gathered.push(body)
      if (type === 'x') extended = body.toString('latin1', 0, size)
      else if (type === 'L') long = text(body, 0, size)
      continue
    }
    const prefix = text(block, 345, 155)
    const name = /(?:^|\n)\d+ path=([^\n]*)\n/.exec(extended)?.[1] ?? long ?? (prefix === '' ? '' : `${prefix}/`) + text(block, 0, 100)
    const real = Number(/(?:^|\n)\d+ size=(\d+)\n/.exec(extended)?.[1] ?? size)
    const file = type === '0' || type === '\0'
    const bare = gathered.length === 1 && (type === '5' || (file && real === 0))
    return {
      name: name.replace(/\/+$/, ''),
      directory: type === '5',
      mode: numeric(block, 100, 8),
      uid: numeric(block, 108, 8),
      gid: numeric(block, 116, 8),
      body: '123456'.includes(type) ? 0 : padded(real),
      bare,
      blocks: gathered,
    }
  }
}

/** Answers where a path of the image below leads. */
export type Below = (path: string) => Promise<Located>

/** Whether a directory is in the layer for nothing but what was mounted in it. */
async function unchanged({ name, mode, uid, gid }: Entry, below: Below): Promise<boolean> {
  const place = await below(name)
  return place.kind === 'absent' || (place.kind === 'directory' && place.mode === mode && place.uid === uid && place.gid === gid)
}

/**
 * The layer without empty files and directories at `mounted` paths that the image below lacks, and without directories that are there only
 * for their sake. Everything else comes through byte for byte.
 */
export function withoutStubs(layer: Readable, mounted: readonly string[], below: Below): Readable {
  const stubs = new Set(mounted.map((path) => path.replace(/^\/+|\/+$/g, '')))
  const leads = (name: string): boolean => [...stubs].some((stub) => stub.startsWith(`${name}/`))
  async function* filtered(): AsyncGenerator<Buffer> {
    const blocks = new Blocks(layer as AsyncIterable<Buffer>)
    /** Directories on the way to stubs, not told yet. */
    const held: Entry[] = []
    let dropped = false
    const settle = async (next: string | undefined): Promise<Buffer[]> => {
      const told: Buffer[] = []
      for (let last = held.at(-1); last !== undefined && !(next ?? '').startsWith(`${last.name}/`); last = held.at(-1)) {
        held.pop()
        if (dropped && (await unchanged(last, below))) continue
        told.push(...held.splice(0).flatMap((one) => one.blocks), ...last.blocks)
      }
      return told
    }
    for (let entry = await nextEntry(blocks); entry !== undefined; entry = await nextEntry(blocks)) {
      yield* await settle(entry.name)
      if (held.length === 0) dropped = false
      if (entry.bare && stubs.has(entry.name) && (await below(entry.name)).kind === 'absent' && !(entry.directory && leads(entry.name))) {
        dropped = true
        continue
      }
      if (entry.bare && entry.directory && leads(entry.name)) {
        held.push(entry)
        continue
      }
      for (const one of held.splice(0)) yield* one.blocks
      yield* entry.blocks
      for (let rest = entry.body; rest > 0;) {
        const piece = await blocks.take(rest)
        if (piece === undefined) throw new Error('the layer of a step was cut off')
        yield piece
        rest -= piece.length
      }
    }
    yield* await settle(undefined)
    yield Buffer.alloc(2 * BLOCK)
    // The sender ends when it is read to its end.
    while ((await blocks.take(BLOCK)) !== undefined);
  }
  const stream = Readable.from(filtered(), { objectMode: false })
  return stream.once('close', () => layer.destroy())
}
