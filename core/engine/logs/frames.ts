import type { LogEntry, LogFrameOptions } from '../../sdk/kinds/log.js'

/** Frames of a driver that only gives entries. */
export async function* framesOf(batches: AsyncIterable<LogEntry[]>, options: LogFrameOptions): AsyncGenerator<Uint8Array> {
  const header = options.framed ? 8 : 0
  for await (const batch of batches) {
    const wanted = batch.filter(({ source }) => (source === 'stderr' ? options.stderr : options.stdout))
    const out = Buffer.allocUnsafe(wanted.reduce((sum, { line }) => sum + header + line.length, 0))
    let at = 0
    for (const { source, line } of wanted) {
      if (options.framed) {
        out.writeUInt32BE(source === 'stderr' ? 0x02000000 : 0x01000000, at)
        out.writeUInt32BE(line.length, at + 4)
      }
      out.set(line, at + header)
      at += header + line.length
    }
    if (out.length > 0) yield out
  }
}
