import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { pack } from 'tar-stream'
import { packageRoot } from './places.js'

export const imageName = 'tsd-bench/payload:1'

const execFileAsync = promisify(execFile)

/** Compiles the payload; musl's are small, any C compiler will do. */
export function compilePayload(dir: string): string {
  const source = path.join(packageRoot, 'test/bench/payload.c')
  const output = path.join(dir, 'payload')
  for (const compiler of ['musl-gcc', process.env.CC ?? 'cc']) {
    try {
      execFileSync(compiler, ['-D_GNU_SOURCE', '-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-o', output, source], {
        stdio: 'inherit',
      })
      return output
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error('no C compiler found: install musl-tools or gcc')
}

interface Entry {
  name: string
  content?: Buffer | string
  mode?: number
}

/** An uncompressed tar; an entry without content is a directory. */
export async function tar(entries: Entry[]): Promise<Buffer> {
  const archive = pack()
  for (const { name, content, mode } of entries) {
    const header = { name, mtime: new Date(0), mode: mode ?? (content === undefined ? 0o755 : 0o644) }
    if (content === undefined) archive.entry({ ...header, type: 'directory' })
    else archive.entry({ ...header, type: 'file' }, Buffer.from(content))
  }
  archive.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of archive as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')

/** The payload as an image of one layer, as `docker save` writes it: `docker run IMG true` works in it. */
export async function payloadImage(payload: string): Promise<Buffer> {
  const layer = await tar([
    ...['dev/', 'etc/', 'proc/', 'sys/', 'tmp/'].map((name) => ({ name })),
    { name: 'payload', content: fs.readFileSync(payload), mode: 0o755 },
  ])
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '2025-01-01T00:00:00Z',
    config: { Entrypoint: ['/payload'], Cmd: ['true'], Env: ['PATH=/'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: '2025-01-01T00:00:00Z', created_by: 'bench' }],
  })
  const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: [imageName], Layers: [`${sha256(layer)}/layer.tar`] }]
  return await tar([
    { name: `${sha256(config)}.json`, content: config },
    { name: `${sha256(layer)}/` },
    { name: `${sha256(layer)}/VERSION`, content: '1.0' },
    { name: `${sha256(layer)}/layer.tar`, content: layer },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
  ])
}

/** Runs the payload on the host as a client that costs little itself. */
export async function payloadClient<T>(payload: string, ...args: string[]): Promise<T> {
  const { stdout } = await execFileAsync(payload, args, { maxBuffer: 64 << 20, timeout: 300_000 })
  return JSON.parse(stdout) as T
}
