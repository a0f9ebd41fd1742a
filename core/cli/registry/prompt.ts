import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { ExitStatus } from '../status.js'

/** Asks on the terminal. A secret is not shown while it is typed. */
export async function ask(question: string, secret = false): Promise<string> {
  process.stderr.write(question)
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: secret ? mute : process.stderr, terminal: true })
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve)
      lines.once('SIGINT', () => reject(new ExitStatus(130)))
      lines.once('close', () => reject(new ExitStatus(1, 'the input ended before an answer')))
    })
  } finally {
    lines.close()
    if (secret) process.stderr.write('\n')
  }
}
