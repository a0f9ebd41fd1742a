import fs from 'node:fs/promises'
import { Digester } from '../../base/digest.js'

/** A blob that is being downloaded, digested as it grows. What an earlier attempt left is taken up. */
export class PartialFile {
  private constructor(
    private readonly handle: fs.FileHandle,
    private digester: Digester,
    /** What was there when it was opened. */
    readonly resumed: number,
  ) {}

  static async open(file: string, most: number): Promise<PartialFile> {
    const handle = await fs.open(file, 'a+', 0o600)
    try {
      const { size } = await handle.stat()
      if (size > most) await handle.truncate(0)
      const digester = new Digester()
      if (size <= most) for await (const chunk of readAll(handle)) digester.update(chunk)
      return new PartialFile(handle, digester, digester.size)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get size(): number {
    return this.digester.size
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length;) done += (await this.handle.write(chunk, done)).bytesWritten
    this.digester.update(chunk)
  }

  async reset(): Promise<void> {
    await this.handle.truncate(0)
    this.digester = new Digester()
  }

  /** To be asked once, of the whole. */
  matches(digest: string): boolean {
    return this.digester.matches(digest)
  }

  async sync(): Promise<void> {
    await this.handle.sync()
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

async function* readAll(handle: fs.FileHandle): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(1 << 18)
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
