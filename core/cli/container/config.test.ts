// The reference is what the docker CLI sent for the same command lines (docker-bodies.json, made by record-docker.mjs).
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import { parseFlags } from '../flags.js'
import { messageOf } from '../status.js'
import { verb as create } from '../verbs/create.js'
import { verb as run } from '../verbs/run.js'
import { containerRequest } from './config.js'
import { parseAnyReference } from '../../base/reference.js'

interface Recorded {
  args: string[]
  query?: Record<string, string>
  body?: Record<string, unknown>
  error?: string
}

const recorded = JSON.parse(fs.readFileSync('core/cli/container/docker-bodies.json', 'utf8')) as {
  files: Record<string, string>
  cases: Recorded[]
}
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-cli-config-'))
for (const [name, text] of Object.entries(recorded.files)) fs.writeFileSync(path.join(dir, name), text)
test.after.always(() => fs.rmSync(dir, { recursive: true }))

/** The engine has no Windows to ask; a flag of the kernel's past is refused here, ignored there. */
const differs = [
  '--cpu-count',
  '--kernel-memory',
  'the input device is not a TTY',
  'invalid pull option',
  'specify both --attach and --detach',
]

function bodyOf({ args }: Recorded): unknown {
  const [name, ...words] = args.map((arg) => arg.replace('FILES', dir))
  const { values, args: rest } = parseFlags(words, (name === 'run' ? run : create).flags, false)
  const [image = '', ...command] = rest
  const { body } = containerRequest(values, image, command)
  parseAnyReference(image)
  if (name === 'run' && values.bool('detach'))
    Object.assign(body, { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false })
  return JSON.parse(JSON.stringify(body))
}

test.before(() => {
  process.env.FROM_HOST = 'fromhost'
  delete process.env.EMPTYHOSTVAR
})

/** Paths relative to the directory where docker was asked. */
const relocate = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll(JSON.stringify(process.cwd()).slice(1, -1), '/tmp'))

for (const one of recorded.cases) {
  const text = [one.args.join(' '), one.error ?? ''].join(' ')
  if (differs.some((d) => text.includes(d))) continue
  test(`as docker: ${one.args.join(' ')}`, (t) => {
    if (one.body) {
      t.deepEqual(relocate(bodyOf(one)), one.body)
      return
    }
    const expected = (one.error ?? '').split('\n')[0]?.replace(/^docker: /, '')
    const error = t.throws(() => bodyOf(one))
    t.is(messageOf(error).replaceAll(dir, 'FILES'), expected ?? '')
  })
}

test('flags that no engine on Linux has are refused by name', (t) => {
  for (const words of [['--cpu-count', '2'], ['--kernel-memory', '10m'], ['--io-maxiops', '1'], ['--use-api-socket']]) {
    t.throws(() => parseFlags([...words, 'img'], run.flags, false), { message: new RegExp(`flag ${words[0]} is not supported: `) })
  }
})
