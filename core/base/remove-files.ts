import { readdir, rm, rmdir, unlink } from 'node:fs/promises'

const ignoreMissing = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'ENOENT') throw error
}

export const removeFile = (path: string): Promise<void> => unlink(path).catch(ignoreMissing)

/** Removes a directory of a few files, present or not, in fewer steps than a recursive removal takes; directories in it are removed as well. */
export async function removeFiles(dir: string): Promise<void> {
  try {
    const entries = await readdir(dir, { withFileTypes: true })
    await Promise.all(
      entries.map((entry) => {
        const path = `${dir}/${entry.name}`
        return entry.isDirectory() ? rm(path, { recursive: true, force: true }) : removeFile(path)
      }),
    )
    await rmdir(dir)
  } catch (error) {
    ignoreMissing(error as NodeJS.ErrnoException)
  }
}
