// Tar headers: ustar, with a pax header before where ustar cannot say it.
import type { TarEntry, TarType } from './tar-reader.js'

const flags: Record<TarType, string> = { file: '0', link: '1', symlink: '2', char: '3', block: '4', directory: '5', fifo: '6' }

const MAX_OCTAL = { 8: 0o7777777, 12: 0o77777777777 }
const ascii = /^[\x01-\x7f]*$/

function octal(block: Buffer, value: number, start: number, length: 8 | 12): void {
  block.write(value.toString(8).padStart(length - 1, '0'), start, 'latin1')
}

/** Splits a name over ustar's prefix and name fields; undefined when it does not fit. */
function split(name: string): { prefix: string; name: string } | undefined {
  if (name.length <= 100) return { prefix: '', name }
  for (let slash = name.indexOf('/'); slash > 0; slash = name.indexOf('/', slash + 1)) {
    const rest = name.slice(slash + 1)
    if (slash <= 155 && rest.length <= 100 && rest.length > 0) return { prefix: name.slice(0, slash), name: rest }
  }
  return undefined
}

function paxRecord(key: string, value: Buffer): Buffer {
  const body = key.length + value.length + 3
  let length = body + String(body).length
  if (String(length).length !== String(body).length) length = body + String(length).length
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')])
}

function ustar(entry: TarEntry, flag: string, name: { prefix: string; name: string }): Buffer {
  const block = Buffer.alloc(512)
  block.write(name.name, 0, 100, 'latin1')
  octal(block, entry.mode & 0o7777, 100, 8)
  octal(block, Math.min(entry.uid, MAX_OCTAL[8]), 108, 8)
  octal(block, Math.min(entry.gid, MAX_OCTAL[8]), 116, 8)
  octal(block, Math.min(entry.size, MAX_OCTAL[12]), 124, 12)
  octal(block, Math.min(Math.max(entry.mtimeSec, 0), MAX_OCTAL[12]), 136, 12)
  block.write(flag, 156, 'latin1')
  block.write(entry.linkname, 157, 100, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  octal(block, entry.major, 329, 8)
  octal(block, entry.minor, 337, 8)
  block.write(name.prefix, 345, 155, 'latin1')
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(sum.toString(8).padStart(6, '0') + '\0 ', 148, 'latin1')
  return block
}

/** Header blocks of an entry, its pax header included. */
export function encodeHeader(entry: TarEntry): Buffer {
  const pax: Buffer[] = []
  const add = (key: string, value: string | Buffer): number =>
    pax.push(paxRecord(key, typeof value === 'string' ? Buffer.from(value, 'latin1') : value))
  const fits = ascii.test(entry.name) ? split(entry.name) : undefined
  if (fits === undefined) add('path', entry.name)
  if (entry.linkname.length > 100 || !ascii.test(entry.linkname)) add('linkpath', entry.linkname)
  if (entry.size > MAX_OCTAL[12]) add('size', String(entry.size))
  if (entry.uid > MAX_OCTAL[8]) add('uid', String(entry.uid))
  if (entry.gid > MAX_OCTAL[8]) add('gid', String(entry.gid))
  if (entry.mtimeSec < 0 || entry.mtimeSec > MAX_OCTAL[12]) add('mtime', String(entry.mtimeSec))
  for (const [key, value] of entry.xattrs) add(`SCHILY.xattr.${key}`, value)
  const main = ustar(entry, flags[entry.type], fits ?? { prefix: '', name: entry.name.slice(0, 100) })
  if (pax.length === 0) return main
  const body = Buffer.concat(pax)
  const leaf = entry.name.split('/').filter(Boolean).pop() ?? ''
  const carrier: TarEntry = {
    ...entry,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    linkname: '',
    major: 0,
    minor: 0,
    mtimeSec: 0,
    xattrs: [],
  }
  const first = ustar(carrier, 'x', { prefix: '', name: `PaxHeaders.0/${leaf}`.slice(0, 100) })
  return Buffer.concat([first, body, padding(body.length), main])
}

/** What fills the last block of a body of this size. */
export function padding(size: number): Buffer {
  return Buffer.alloc((512 - (size % 512)) % 512)
}

export const trailer = Buffer.alloc(1024)
