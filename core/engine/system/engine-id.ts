import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'

/** Identity of an engine: made once for a data root, then kept. */
export async function engineId(dataRoot: string): Promise<string> {
  const file = path.join(dataRoot, 'engine-id')
  const stored = (
    await fs.readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
  ).trim()
  if (stored !== '') return stored
  const id = randomUUID()
  const temporary = `${file}.${process.pid}`
  const handle = await fs.open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(id)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await fs.rename(temporary, file)
  return id
}
