// Docker's credential helpers: programs `docker-credential-NAME` that keep passwords elsewhere.
import { spawn } from 'node:child_process'
import { codeOf } from '../status.js'

export interface Secret {
  Username: string
  Secret: string
}

/** Says one thing to the helper; answers what it prints. */
async function call(helper: string, action: 'get' | 'store' | 'erase', input: string): Promise<string> {
  if (!/^[A-Za-z0-9_.-]+$/.test(helper)) throw new Error(`"${helper}" is no name of a credential helper`)
  const program = `docker-credential-${helper}`
  const child = spawn(program, [action], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', (error) =>
      reject(codeOf(error) === 'ENOENT' ? new Error(`error getting credentials: ${program} was not found on the path`) : error),
    )
    child.once('close', (code) => resolve(code ?? 1))
  })
  // A helper may end without reading what it was given.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const code = await exited
  const output = Buffer.concat(chunks).toString('utf8').trim()
  if (code === 0) return output
  if (output.startsWith('credentials not found')) return ''
  throw new Error(`error ${action === 'get' ? 'getting' : action === 'store' ? 'saving' : 'erasing'} credentials: ${program}: ${output}`)
}

export async function getSecret(helper: string, server: string): Promise<Secret | undefined> {
  const output = await call(helper, 'get', server)
  if (output === '') return undefined
  const { Username = '', Secret = '' } = JSON.parse(output) as Partial<Secret>
  return { Username, Secret }
}

export async function storeSecret(helper: string, server: string, secret: Secret): Promise<void> {
  await call(helper, 'store', JSON.stringify({ ServerURL: server, ...secret }))
}

export async function eraseSecret(helper: string, server: string): Promise<void> {
  await call(helper, 'erase', server)
}
