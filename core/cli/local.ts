// Parts of the product that are no clients of the API. The CLI knows where they lie and nothing else of them.
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const dist = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

export const localParts = {
  daemon: path.join(dist, 'core/daemon/main.js'),
  doctor: path.join(dist, 'core/tools/doctor/main.js'),
  helloImage: path.join(dist, 'images/hello.tar'),
}

/** Flags of Node for a daemon, as in the launcher: a small young generation and few helper threads keep an idle engine small. */
export const daemonNodeFlags = ['--max-semi-space-size=1', '--v8-pool-size=1']

/** Runs a part in this process as if it had been started by itself. */
export async function runLocal(file: string, args: readonly string[]): Promise<void> {
  process.argv = [process.argv[0] as string, file, ...args]
  await import(file)
}
