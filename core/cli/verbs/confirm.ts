import { createInterface } from 'node:readline'

/** Anything but y or yes is a no. */
export async function confirm(warning: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return await new Promise<boolean>((resolve) => {
      lines.question(`${warning}\nAre you sure you want to continue? [y/N] `, (answer) => resolve(/^y(es)?$/i.test(answer.trim())))
      lines.on('close', () => resolve(false))
    })
  } finally {
    lines.close()
  }
}
