// Docker's framing of two output streams over one connection: stream number, three zero bytes, length, payload.

export type OutputSource = 'stdout' | 'stderr'

const headerLength = 8
/** Below this, one copy is cheaper than two writes. */
const small = 8 * 1024

function putHeader(target: Buffer, offset: number, source: OutputSource, length: number): void {
  target.writeUInt32BE(source === 'stdout' ? 0x01000000 : 0x02000000, offset)
  target.writeUInt32BE(length, offset + 4)
}

/** Chunks to write for one piece of output. */
export function frame(source: OutputSource, data: Uint8Array): Uint8Array[] {
  if (data.length > small) {
    const header = Buffer.allocUnsafe(headerLength)
    putHeader(header, 0, source, data.length)
    return [header, data]
  }
  const whole = Buffer.allocUnsafe(headerLength + data.length)
  putHeader(whole, 0, source, data.length)
  whole.set(data, headerLength)
  return [whole]
}

export interface FramedLine {
  source: OutputSource
  prefix: string
  line: Uint8Array
}

/** Many lines in one buffer. `multiplexed` false: just the bytes, as for terminals. */
export function frameLines(lines: FramedLine[], multiplexed: boolean): Buffer {
  const overhead = multiplexed ? headerLength : 0
  let size = 0
  for (const { prefix, line } of lines) size += overhead + (prefix === '' ? 0 : Buffer.byteLength(prefix)) + line.length
  const buffer = Buffer.allocUnsafe(size)
  let offset = 0
  for (const { source, prefix, line } of lines) {
    const start = offset + overhead
    const text = prefix === '' ? 0 : buffer.write(prefix, start)
    buffer.set(line, start + text)
    if (multiplexed) putHeader(buffer, offset, source, text + line.length)
    offset = start + text + line.length
  }
  return buffer
}
