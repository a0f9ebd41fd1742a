import fs from 'node:fs/promises'
import { PassThrough, Readable, Transform } from 'node:stream'
import { createGzip } from 'node:zlib'
import { formatDecimalSize, parseBinarySize } from '../../base/sizes.js'
import { directoryContext, isArchive, packDirectory } from '../build/context.js'
import { buildQuery, parseSecret } from '../build/query.js'
import { valid } from '../container/flags.js'
import { parseUlimit } from '../container/resources.js'
import { jsonLines, readAll } from '../engine.js'
import { flag } from '../flags.js'
import type { Values } from '../flags.js'
import { configHeader } from '../registry/credentials.js'
import { ExitStatus, UsageError } from '../status.js'
import type { Verb } from '../verb.js'

const bytes = valid((value) => value === '-1' || parseBinarySize(value))
const buildKit = 'it needs BuildKit, which tsd does not have'

const flags = [
  flag('list', 'add-host', 'Add a custom host-to-IP mapping (host:ip)'),
  flag('list', 'build-arg', 'Set build-time variables'),
  flag('strings', 'cache-from', 'Images to consider as cache sources'),
  flag('string', 'cache-to', 'Cache export destinations', { refused: buildKit, hidden: true }),
  flag('string', 'cgroup-parent', 'Set the parent cgroup for the "RUN" instructions during build'),
  flag('bool', 'compress', 'Compress the build context using gzip'),
  flag('int', 'cpu-period', 'Limit the CPU CFS (Completely Fair Scheduler) period'),
  flag('int', 'cpu-quota', 'Limit the CPU CFS (Completely Fair Scheduler) quota'),
  flag('int', 'c,cpu-shares', 'CPU shares (relative weight)'),
  flag('string', 'cpuset-cpus', 'CPUs in which to allow execution (0-3, 0,1)'),
  flag('string', 'cpuset-mems', 'MEMs in which to allow execution (0-3, 0,1)'),
  flag('string', 'f,file', 'Name of the Dockerfile (Default is "PATH/Dockerfile")'),
  flag('bool', 'force-rm', 'Always remove intermediate containers'),
  flag('string', 'iidfile', 'Write the image ID to the file'),
  flag('list', 'label', 'Set metadata for an image'),
  flag('bytes', 'm,memory', 'Memory limit', { check: bytes }),
  flag('bytes', 'memory-swap', 'Swap limit equal to memory plus swap: -1 to enable unlimited swap', { check: bytes }),
  flag('string', 'network', 'Set the networking mode for the RUN instructions during build', { default: 'default' }),
  flag('bool', 'no-cache', 'Do not use cache when building the image'),
  flag('string', 'o,output', 'Output destination', { refused: buildKit, hidden: true }),
  flag('string', 'platform', 'Set platform if server is multi-platform capable'),
  flag('string', 'progress', 'Set type of progress output', { refused: buildKit, hidden: true }),
  flag('bool', 'pull', 'Always attempt to pull a newer version of the image'),
  flag('bool', 'q,quiet', 'Suppress the build output and print image ID on success'),
  flag('bool', 'rm', 'Remove intermediate containers after a successful build', { default: 'true' }),
  flag('list', 'secret', 'Secret to expose to RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE', {
    check: valid(parseSecret),
  }),
  flag('strings', 'security-opt', 'Security options'),
  flag('bytes', 'shm-size', 'Size of "/dev/shm"', { check: bytes }),
  flag('bool', 'squash', 'Squash newly built layers into a single new layer', { refused: 'use a multi-stage build', hidden: true }),
  flag('list', 'ssh', 'SSH agent socket or keys', { refused: buildKit, hidden: true }),
  flag('list', 't,tag', 'Name and optionally a tag in the "name:tag" format'),
  flag('string', 'target', 'Set the target build stage to build.'),
  flag('list', 'ulimit', 'Ulimit options', { value: 'ulimit', check: valid(parseUlimit) }),
]

interface Context {
  dockerfile: string
  stream: Readable
}

async function stdinHead(): Promise<{ head: Buffer; rest: Readable }> {
  const rest = new PassThrough()
  const chunks: Buffer[] = []
  const input = process.stdin[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  for (let size = 0; size < 512;) {
    const next = await input.next()
    if (next.done === true) break
    chunks.push(next.value)
    size += next.value.length
  }
  const head = Buffer.concat(chunks)
  const forward = async (): Promise<void> => {
    rest.write(head)
    for (let next = await input.next(); next.done !== true; next = await input.next())
      if (!rest.write(next.value)) await new Promise((resolve) => rest.once('drain', resolve))
    rest.end()
  }
  forward().catch((error: unknown) => rest.destroy(error as Error))
  return { head, rest }
}

async function contextOf(where: string, file: string): Promise<Context> {
  if (/^(https?:\/\/|git@|git:\/\/|ssh:\/\/|github\.com\/)/.test(where))
    throw new UsageError(`cannot build from ${where}: remote contexts are not supported by tsd: fetch it, and build the directory`)
  const { pack } = await import('tar-stream')
  const tar = pack()
  if (where === '-') {
    if (file === '-') throw new UsageError("invalid argument: can't use stdin for both build context and dockerfile")
    const { head, rest } = await stdinHead()
    if (head.length === 0) throw new UsageError('standard input is empty: send a tar of the context, or a Dockerfile')
    if (isArchive(head)) return { dockerfile: file, stream: rest }
    if (file !== '') throw new UsageError('ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles')
    tar.entry({ name: 'Dockerfile', mode: 0o600 }, await readAll(rest))
    tar.finalize()
    return { dockerfile: 'Dockerfile', stream: Readable.from(tar, { objectMode: false }) }
  }
  const context = await directoryContext(where, file, async () => Buffer.from(await readAll(process.stdin)))
  packDirectory(tar, context).catch((error: unknown) => tar.destroy(error as Error))
  return { dockerfile: context.dockerfile, stream: Readable.from(tar, { objectMode: false }) }
}

/** Counts what passes, and says so. */
function counted(quiet: boolean): Transform {
  let size = 0
  const say = (end: string): void => {
    if (!quiet) process.stdout.write(`Sending build context to tsd  ${formatDecimalSize(size)}${end}`)
  }
  let said = 0
  return new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length
      if (process.stdout.isTTY && size - said > 1 << 20) {
        said = size
        say('\r')
      }
      done(null, chunk)
    },
    flush(done) {
      say('\n')
      done()
    },
  })
}

const mostSecretBytes = 10_000

async function secretHeader(values: Values): Promise<Record<string, string>> {
  const given = values.list('secret').map(parseSecret)
  if (given.length === 0) return {}
  const entries: [string, string][] = []
  for (const { id, file, variable = '' } of given) {
    const value = file === undefined ? process.env[variable] : await fs.readFile(file)
    if (value === undefined) throw new UsageError(`secret ${id}: the variable ${variable} is not set`)
    entries.push([id, Buffer.from(value).toString('base64')])
  }
  const text = Buffer.from(JSON.stringify(Object.fromEntries(entries))).toString('base64')
  if (text.length > mostSecretBytes)
    throw new UsageError(`the secrets are too large: together they may have about ${Math.floor(mostSecretBytes / 1.8)} bytes`)
  return { 'X-Tsd-Build-Secrets': text }
}

interface Message {
  stream?: string
  status?: string
  id?: string
  aux?: { ID?: string }
  error?: string
  errorDetail?: { code?: number; message?: string }
}

export const verb: Verb = {
  name: 'build',
  usage: '[OPTIONS] PATH | -',
  summary: 'Build an image from a Dockerfile',
  aliases: ['image build', 'build', 'builder build'],
  flags,
  args: [1, 1],
  async run({ values, args: [where = ''], engine }) {
    const { dockerfile, stream } = await contextOf(where, values.string('file'))
    const quiet = values.bool('quiet')
    const source = values.bool('compress') && where !== '-' ? stream.pipe(createGzip()) : stream
    const upload = source.pipe(counted(quiet))
    for (const part of [stream, source]) part.on('error', (error: Error) => upload.destroy(error))
    const headers = { 'Content-Type': 'application/x-tar', ...(await secretHeader(values)), ...(await configHeader()) }
    const answer = await engine.stream('POST', '/build', { query: buildQuery(values, dockerfile), upload, headers })
    let image = ''
    for await (const message of jsonLines<Message>(answer)) {
      if (message.error !== undefined) throw new ExitStatus(message.errorDetail?.code ?? 1, message.errorDetail?.message ?? message.error)
      image = message.aux?.ID ?? (quiet ? (message.stream?.trim() ?? image) : image)
      if (message.stream !== undefined) process.stdout.write(message.stream)
      else if (message.status !== undefined) process.stdout.write(`${message.id === undefined ? '' : `${message.id}: `}${message.status}\n`)
    }
    const iidfile = values.string('iidfile')
    if (iidfile !== '') await fs.writeFile(iidfile, image)
  },
}
