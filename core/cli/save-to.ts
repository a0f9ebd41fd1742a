import fs from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'

/** A stream into a file that is there whole or not at all, or to standard output when no file is named. */
export async function saveTo(file: string, open: () => Promise<NodeJS.ReadableStream>): Promise<void> {
  if (file === '') {
    if (process.stdout.isTTY) throw new Error('cowardly refusing to save to a terminal. Use the -o flag or redirect')
    return pipeline(await open(), process.stdout, { end: false })
  }
  const parent = path.dirname(file)
  if (!fs.existsSync(parent)) throw new Error(`invalid output path: directory ${JSON.stringify(parent)} does not exist`)
  if (fs.existsSync(file) && !fs.statSync(file).isFile()) return pipeline(await open(), fs.createWriteStream(file))
  const stream = await open()
  const temporary = path.join(parent, `.${path.basename(file)}.${process.pid}`)
  try {
    await pipeline(stream, fs.createWriteStream(temporary, { flags: 'wx', mode: 0o600 }))
    fs.renameSync(temporary, file)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
}
