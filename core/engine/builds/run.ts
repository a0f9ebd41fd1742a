import { chmod, writeFile } from 'node:fs/promises'
import { StringDecoder } from 'node:string_decoder'
import type { Readable } from 'node:stream'
import { Disposables } from '../../base/disposables.js'
import { shortId } from '../../base/ids.js'
import { randomHex } from '../../base/random.js'
import { cancelled, invalidParameter, isTsdError, notImplemented, TsdError } from '../../sdk/errors.js'
import type { HostConfig } from '../../schema/engine-api.js'
import type { ProgressMessage } from '../images/index.js'
import type { RunInstruction } from './dockerfile/instruction.js'
import { bytesOf } from './layer-place.js'
import { prepareMount } from './mounts.js'
import type { StepMount } from './mounts.js'
import { expand, shellOf } from './stage-state.js'
import type { StageState } from './stage-state.js'
import { StepContainers } from './step-containers.js'
import { alwaysMounted, withoutStubs } from './stubs.js'
import type { Work } from './work.js'
import { madeDirectory, rootOf } from './workshop.js'
import type { Workshop } from './workshop.js'

type Tell = (message: ProgressMessage) => Promise<void>

/** A step's process ended with another code than 0. */
export class StepFailed extends TsdError {
  readonly exitCode: number

  constructor(command: string, exitCode: number) {
    super('InvalidParameter', `The command '${command}' returned a non-zero code: ${exitCode}`)
    this.exitCode = exitCode
  }
}

interface Script {
  argv: string[]
  /** A here-document that names its own interpreter: becomes a file. */
  file?: { name: string; content: string }
}

/** The command, with here-documents: one alone is a script, others are part of the shell's text. */
function scriptOf(state: StageState, { command, heredocs }: RunInstruction): Script {
  if ('exec' in command) return { argv: command.exec }
  const [only] = heredocs
  if (only === undefined) return { argv: [...shellOf(state), command.shell] }
  if (heredocs.length === 1 && /^\d*<<-?\S+$/.test(command.shell)) {
    if (!only.content.startsWith('#!')) return { argv: [...shellOf(state), only.content] }
    return { argv: [`/dev/pipes/${only.name}`], file: only }
  }
  const text = heredocs.map(({ name, content }) => `${content}${name}\n`).join('')
  return { argv: [...shellOf(state), `${command.shell}\n${text}`] }
}

function networkOf(shop: Workshop, state: StageState, { flags }: RunInstruction): string {
  const security = flags.one('security')
  if (security !== undefined && security !== 'sandbox')
    throw notImplemented(`RUN --security=${security} is not supported by tsd: steps run in the sandbox`)
  const mode = flags.one('network')
  if (mode === undefined) return shop.options.hostConfig.NetworkMode ?? ''
  const network = expand(state, mode)
  if (network === 'default') return shop.options.hostConfig.NetworkMode ?? ''
  if (network !== 'none' && network !== 'host')
    throw invalidParameter(`unsupported network mode ${JSON.stringify(network)}: use default, none or host`)
  return network
}

/** Text of a process as messages: standard error in red, as Docker's builder has it. */
function speaker(tell: Tell): { output(source: 'stdout' | 'stderr', data: Uint8Array): Promise<void>; flush(): Promise<void> } {
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  const say = (source: 'stdout' | 'stderr', text: string): Promise<void> =>
    text === '' ? Promise.resolve() : tell({ stream: source === 'stdout' ? text : `\u001b[91m${text}\u001b[0m` })
  return {
    output: (source, data) => say(source, decoders[source].write(Buffer.from(data))),
    flush: async () => {
      for (const source of ['stdout', 'stderr'] as const) await say(source, decoders[source].end())
    },
  }
}

/** RUN: a container like any other, and what it changed as a layer. */
export async function prepareRun(
  shop: Workshop,
  state: StageState,
  step: RunInstruction,
  containers: StepContainers,
  tell: Tell,
): Promise<Work> {
  const { argv, file } = scriptOf(state, step)
  const network = networkOf(shop, state, step)
  const mounts: StepMount[] = []
  for (const text of step.flags.all('mount')) mounts.push(await prepareMount(shop, state, text, tell))
  const { all, compared } = state.arguments.environment(state.config.Env)
  const shown = compared.length === 0 ? argv : [`|${compared.length}`, ...compared, ...argv]
  return {
    createdBy: shown.join(' '),
    also: [
      ...mounts.map(({ described }) => described),
      ...(step.flags.one('network') === undefined ? [] : [`network ${network}`]),
      ...(file === undefined ? [] : [file.content]),
    ],
    run: async () => {
      if (state.image === undefined) throw invalidParameter('RUN needs files: nothing was copied to the stage that begins with scratch')
      const stack = new Disposables()
      const made = await makeMounts(shop, mounts, file, stack).catch(async (error: unknown) => {
        await stack.dispose()
        throw error
      })
      const { image, config } = { image: state.image, config: state.config }
      const body = {
        Image: image,
        Cmd: argv,
        // Neither the image's entrypoint nor its command.
        Entrypoint: [''],
        Env: [...config.Env, ...all, ...made.env],
        Healthcheck: { Test: ['NONE'] },
        HostConfig: {
          ...shop.options.hostConfig,
          NetworkMode: network,
          LogConfig: { Type: 'none' },
          Mounts: made.mounts,
        } satisfies HostConfig,
      }
      try {
        const layer = await runStep(shop, containers, body, argv.join(' '), tell)
        const mounted = [...alwaysMounted, ...made.mounts.map(({ Target = '' }) => bytesOf(Target))]
        return withoutStubs(layer, mounted, async (path) => shop.trees.locate(await rootOf(shop, image), path))
      } finally {
        await stack.dispose()
      }
    },
  }
}

async function makeMounts(
  shop: Workshop,
  mounts: StepMount[],
  file: Script['file'],
  stack: Disposables,
): Promise<{ mounts: NonNullable<HostConfig['Mounts']>; env: string[] }> {
  const made: { mounts: NonNullable<HostConfig['Mounts']>; env: string[] } = { mounts: [], env: [] }
  for (const one of mounts) {
    const { mount, env } = await one.make(stack)
    if (mount !== undefined) made.mounts.push(mount)
    if (env !== undefined) made.env.push(env)
  }
  if (file !== undefined) {
    const path = `${shop.workDir}/${await madeDirectory(shop)}/${randomHex(4)}`
    await writeFile(path, file.content)
    await chmod(path, 0o755)
    made.mounts.push({ Type: 'bind', Source: path, Target: `/dev/pipes/${file.name}`, ReadOnly: true })
  }
  return made
}

async function runStep(
  shop: Workshop,
  steps: StepContainers,
  body: Parameters<StepContainers['create']>[0],
  command: string,
  tell: Tell,
): Promise<Readable> {
  const { containers, signal } = shop
  const id = await steps.create(body, tell)
  await tell({ stream: ` ---> Running in ${shortId(id)}\n` })
  const speech = speaker(tell)
  const ended = new Promise<void>((resolve) => {
    void containers
      .attach(
        id,
        { stdin: false, stdout: true, stderr: true, logs: false, stream: true },
        { output: (source, data) => speech.output(source, data), end: resolve },
      )
      .catch(() => resolve())
  })
  const waiting = new AbortController()
  const abort = (): void => void containers.kill(id, 'SIGKILL').catch(() => undefined)
  signal.addEventListener('abort', abort, { once: true })
  try {
    const { result } = await containers.wait(id, 'next-exit', waiting.signal)
    signal.throwIfAborted()
    await containers.start(id, {})
    if (signal.aborted) abort()
    const { StatusCode } = await result
    await ended
    await speech.flush()
    if (signal.aborted) throw isTsdError(signal.reason) ? signal.reason : cancelled('the build was cancelled')
    if (StatusCode !== 0) throw new StepFailed(command, StatusCode)
    // Its mounts are gone when this answers.
    await (
      await containers.wait(id, 'not-running', signal)
    ).result
    return await steps.changes(id)
  } finally {
    signal.removeEventListener('abort', abort)
    waiting.abort()
  }
}
