import type { Readable, Writable } from 'node:stream'
import { once } from 'node:events'

/** Writes, and waits while the sink is full: a slow terminal slows the container down, not our memory up. */
export async function write(sink: Writable, data: Buffer): Promise<void> {
  if (sink.destroyed || sink.writableEnded) return
  if (!sink.write(data)) await Promise.race([once(sink, 'drain'), once(sink, 'close')])
}

/** Splits Docker's multiplexed stream: 8 bytes of header (stream, 0, 0, 0, size) before each piece. */
export async function demultiplex(source: Readable, stdout: Writable, stderr: Writable): Promise<void> {
  const header = Buffer.alloc(8)
  let have = 0
  let left = 0
  let error = ''
  for await (const chunk of source) {
    let data = chunk as Buffer
    while (data.length > 0) {
      if (have < 8) {
        const n = Math.min(8 - have, data.length)
        data.copy(header, have, 0, n)
        have += n
        data = data.subarray(n)
        if (have < 8) break
        left = header.readUInt32BE(4)
        if (left === 0) have = 0
        if ((header[0] as number) > 3) throw new Error(`Unrecognized input header: ${header[0]}`)
        continue
      }
      const piece = data.subarray(0, left)
      if (header[0] === 3) error += piece.toString('utf8')
      else await write(header[0] === 2 ? stderr : stdout, piece)
      left -= piece.length
      data = data.subarray(piece.length)
      if (left > 0) continue
      have = 0
      if (error !== '') throw new Error(`error from daemon in stream: ${error}`)
    }
  }
}

/** A tty's output has one stream and no headers. */
export async function copyRaw(source: Readable, sink: Writable): Promise<void> {
  for await (const chunk of source) await write(sink, chunk as Buffer)
}
