// A tar reader that pulls: ustar, GNU long names and numbers, pax. Names and attribute values stay the bytes that they are.

export type TarType = 'file' | 'link' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo'

export interface TarEntry {
  /** One latin1 character per byte, as all names here. */
  name: string
  type: TarType
  mode: number
  uid: number
  gid: number
  size: number
  mtimeSec: number
  mtimeNsec: number
  linkname: string
  major: number
  minor: number
  xattrs: [name: string, value: Buffer][]
}

/** The archive is not what it should be. */
export class TarError extends Error {
  override readonly name = 'TarError'
}

const BLOCK = 512
/** Of one pax header or GNU long name. */
const MAX_META = 1 << 20

const types: Record<string, TarType> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start)
  return block.toString('latin1', start, end < 0 || end > start + length ? start + length : end)
}

function numeric(block: Buffer, start: number, length: number, what: string): number {
  const first = block[start] ?? 0
  if (first & 0x80) {
    let value = first === 0xff ? -1n : BigInt(first & 0x7f)
    for (let i = start + 1; i < start + length; i++) value = value * 256n + BigInt(block[i] ?? 0)
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) throw new TarError(`${what} is out of range`)
    return Number(value)
  }
  const digits = text(block, start, length).trim()
  if (digits === '') return 0
  if (!/^[0-7]+$/.test(digits)) throw new TarError(`${what} is no octal number`)
  return parseInt(digits, 8)
}

function checksumMatches(block: Buffer): boolean {
  let unsigned = 8 * 32
  let signed = 8 * 32
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue
    const byte = block[i] as number
    unsigned += byte
    signed += byte > 127 ? byte - 256 : byte
  }
  const stored = numeric(block, 148, 8, 'checksum')
  return stored === unsigned || stored === signed
}

/** Records of a pax header: `LENGTH KEY=VALUE\n`, where the value may hold any byte. */
export function parsePax(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>()
  let at = 0
  while (at < data.length) {
    const space = data.indexOf(0x20, at)
    const digits = space < 0 ? '' : data.toString('latin1', at, space)
    const length = /^[0-9]{1,7}$/.test(digits) ? Number(digits) : 0
    const equals = data.indexOf(0x3d, space)
    if (length === 0 || at + length > data.length || equals < 0 || equals >= at + length || data[at + length - 1] !== 0x0a)
      throw new TarError('malformed pax header')
    records.set(data.toString('latin1', space + 1, equals), Buffer.from(data.subarray(equals + 1, at + length - 1)))
    at += length
  }
  return records
}

function paxNumber(value: Buffer, key: string): number {
  const digits = value.toString('latin1')
  const number = Number(digits)
  if (!/^[0-9]+$/.test(digits) || !Number.isSafeInteger(number)) throw new TarError(`pax ${key} is no number`)
  return number
}

function paxTime(value: Buffer): [sec: number, nsec: number] {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value.toString('latin1'))
  if (match === null) throw new TarError('pax mtime is no time')
  const sec = Number(match[2])
  const nsec = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9))
  if (match[1] === '') return [sec, nsec]
  return nsec === 0 ? [-sec, 0] : [-sec - 1, 1e9 - nsec]
}

const XATTR = 'SCHILY.xattr.'

function applyPax(entry: TarEntry, pax: Map<string, Buffer>): void {
  for (const [key, value] of pax) {
    if (key === 'path' && value.length > 0) entry.name = value.toString('latin1')
    else if (key === 'linkpath') entry.linkname = value.toString('latin1')
    else if (key === 'size') entry.size = paxNumber(value, key)
    else if (key === 'uid') entry.uid = paxNumber(value, key)
    else if (key === 'gid') entry.gid = paxNumber(value, key)
    else if (key === 'mtime') [entry.mtimeSec, entry.mtimeNsec] = paxTime(value)
    else if (key.startsWith(XATTR)) entry.xattrs.push([key.slice(XATTR.length), value])
    else if (key.startsWith('GNU.sparse.')) throw new TarError('sparse files are not supported')
  }
}

export class TarReader {
  private readonly pull: () => Buffer | undefined
  private chunk: Buffer = Buffer.alloc(0)
  /** Bytes of the current entry's body and padding that were not taken yet. */
  private body = 0
  private padding = 0
  /** Name of the entry in hand, for messages. */
  current = ''

  /** `pull` answers the next bytes, valid until it is called again, or undefined at the end. */
  constructor(pull: () => Buffer | undefined) {
    this.pull = pull
  }

  next(): TarEntry | undefined {
    this.skip()
    let pax: Map<string, Buffer> | undefined
    let longName: string | undefined
    let longLink: string | undefined
    for (;;) {
      const block = this.block()
      if (block === undefined || block.every((byte) => byte === 0)) {
        if (pax !== undefined || longName !== undefined || longLink !== undefined)
          throw new TarError('the archive ends after an extended header')
        return undefined
      }
      if (!checksumMatches(block)) throw new TarError('a header has a wrong checksum: not a tar archive, or a damaged one')
      const flag = String.fromCharCode(block[156] as number)
      const size = numeric(block, 124, 12, 'size')
      if (size < 0) throw new TarError('size is negative')
      if (flag === 'x' || flag === 'X') pax = parsePax(this.meta(size))
      else if (flag === 'g' || flag === 'V') this.meta(size)
      else if (flag === 'L') longName = text(this.meta(size), 0, size)
      else if (flag === 'K') longLink = text(this.meta(size), 0, size)
      else return this.entry(block, flag, size, pax, longName, longLink)
    }
  }

  private entry(block: Buffer, flag: string, size: number, pax?: Map<string, Buffer>, longName?: string, longLink?: string): TarEntry {
    const ustar = block.toString('latin1', 257, 263) === 'ustar\0'
    const prefix = ustar ? text(block, 345, 155) : ''
    const short = text(block, 0, 100)
    const entry: TarEntry = {
      name: longName ?? (prefix === '' ? short : `${prefix}/${short}`),
      type: 'file',
      mode: 0,
      uid: 0,
      gid: 0,
      size,
      mtimeSec: 0,
      mtimeNsec: 0,
      linkname: longLink ?? text(block, 157, 100),
      major: 0,
      minor: 0,
      xattrs: [],
    }
    this.current = entry.name
    if (flag === 'S') throw new TarError('sparse files are not supported')
    const type = types[flag]
    if (type === undefined) throw new TarError(`unknown entry type ${JSON.stringify(flag)}`)
    entry.type = type
    entry.mode = numeric(block, 100, 8, 'mode') & 0o7777
    entry.uid = numeric(block, 108, 8, 'uid')
    entry.gid = numeric(block, 116, 8, 'gid')
    entry.mtimeSec = numeric(block, 136, 12, 'mtime')
    if (type === 'char' || type === 'block') {
      entry.major = numeric(block, 329, 8, 'device number')
      entry.minor = numeric(block, 337, 8, 'device number')
    }
    if (pax !== undefined) applyPax(entry, pax)
    this.current = entry.name
    // Old tars mark a directory by its trailing slash alone.
    if (type === 'file' && flag !== '7' && entry.name.endsWith('/')) entry.type = 'directory'
    for (const [what, value] of [
      ['name', entry.name],
      ['link name', entry.linkname],
    ] as const)
      if (value.includes('\0')) throw new TarError(`${what} holds a NUL byte`)
    for (const id of [entry.uid, entry.gid]) if (id < 0 || id > 0xfffffffe) throw new TarError('owner is out of range')
    if (entry.major < 0 || entry.minor < 0 || entry.major > 0xfff || entry.minor > 0xfffff)
      throw new TarError('device number is out of range')
    if (entry.type !== 'file') entry.size = 0
    this.body = entry.size
    this.padding = (BLOCK - (entry.size % BLOCK)) % BLOCK
    return entry
  }

  /** The next piece of the current entry's content, undefined at its end. */
  read(): Buffer | undefined {
    if (this.body === 0) return undefined
    const piece = this.take(this.body)
    if (piece === undefined) throw new TarError('the archive is truncated')
    this.body -= piece.length
    return piece
  }

  private skip(): void {
    while (this.read() !== undefined);
    for (let rest = this.padding; rest > 0;) {
      const piece = this.take(rest)
      // The docker CLI ends a context without it.
      if (piece === undefined) break
      rest -= piece.length
    }
    this.padding = 0
  }

  /** Up to `limit` bytes of what is at hand, at least one. */
  private take(limit: number): Buffer | undefined {
    while (this.chunk.length === 0) {
      const next = this.pull()
      if (next === undefined) return undefined
      this.chunk = next
    }
    const piece = this.chunk.subarray(0, Math.min(limit, this.chunk.length))
    this.chunk = this.chunk.subarray(piece.length)
    return piece
  }

  private exactly(length: number): Buffer | undefined {
    const whole = Buffer.allocUnsafe(length)
    let filled = 0
    while (filled < length) {
      const piece = this.take(length - filled)
      if (piece === undefined) {
        if (filled === 0) return undefined
        throw new TarError('the archive is truncated')
      }
      filled += piece.copy(whole, filled)
    }
    return whole
  }

  private block(): Buffer | undefined {
    return this.exactly(BLOCK)
  }

  private meta(size: number): Buffer {
    if (size > MAX_META) throw new TarError(`an extended header of ${size} bytes is too long`)
    const padded = Math.ceil(size / BLOCK) * BLOCK
    if (padded === 0) return Buffer.alloc(0)
    const data = this.exactly(padded)
    if (data === undefined) throw new TarError('the archive is truncated')
    return data.subarray(0, size)
  }
}
