import type { LogGeneration, RecordCutter, RecordFormat } from 'tsd-engine/sdk'

/** No line of ours is longer: 16 KiB, each byte escaped, and the attributes. */
const maxLine = 1024 * 1024
const newline = 0x0a

class LineCutter implements RecordCutter {
  private carry: Buffer[] = []
  private carried = 0
  private skipping = false

  push(data: Buffer): Buffer | undefined {
    const last = data.lastIndexOf(newline)
    if (last < 0) {
      this.keep(data)
      return undefined
    }
    let whole = data.subarray(0, last + 1)
    if (this.skipping) whole = whole.subarray(whole.indexOf(newline) + 1)
    else if (this.carried > 0) whole = Buffer.concat([...this.carry, whole])
    this.carry = []
    this.carried = 0
    this.skipping = false
    if (last + 1 < data.length) this.keep(Buffer.from(data.subarray(last + 1)))
    return whole.length === 0 ? undefined : whole
  }

  get held(): number {
    return this.carried
  }

  private keep(data: Buffer): void {
    if (this.skipping) return
    this.carry.push(data)
    this.carried += data.length
    if (this.carried <= maxLine) return
    this.carry = []
    this.carried = 0
    this.skipping = true
  }

  /** As a line: complete but for its newline, or torn. */
  rest(): Buffer | undefined {
    const rest = this.carried > 0 ? Buffer.concat([...this.carry, Buffer.from('\n')]) : undefined
    this.carry = []
    this.carried = 0
    this.skipping = false
    return rest
  }
}

async function tail(generation: LogGeneration, wanted: number): Promise<{ position: number; found: number; skip: number }> {
  const buffer = Buffer.allocUnsafe(64 * 1024)
  let found = -1
  for (let end = generation.size; end > 0;) {
    const start = Math.max(0, end - buffer.length)
    const { bytesRead } = await generation.handle.read(buffer, 0, end - start, start)
    let at = bytesRead
    while (at > 0) {
      at = buffer.lastIndexOf(newline, at - 1)
      if (at < 0) break
      found++
      if (found === wanted) return { position: start + at + 1, found, skip: 0 }
    }
    end = start
  }
  // The first line has no newline before it.
  return { position: 0, found: found + 1, skip: 0 }
}

/** A record is a line. */
export const lineFormat: RecordFormat = {
  cutter: () => new LineCutter(),
  count(buffer) {
    let lines = 0
    for (let at = buffer.indexOf(newline); at >= 0; at = buffer.indexOf(newline, at + 1)) lines++
    return lines
  },
  skip(buffer, count) {
    let offset = 0
    let skipped = 0
    for (; skipped < count && offset < buffer.length; skipped++) offset = buffer.indexOf(newline, offset) + 1
    return { offset, skipped }
  },
  tail,
}
