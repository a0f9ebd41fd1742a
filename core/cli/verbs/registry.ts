import { familiarName, formatReference, parseReference, repositoryOf, withDefaultTag } from '../../base/reference.js'
import { readAll, segment } from '../engine.js'
import { flag } from '../flags.js'
import { printProgress } from '../format/progress.js'
import { configFile } from '../registry/config-file.js'
import { addressOf, authHeader, forgetCredentials, hubAddress, storeCredentials, storedCredentials } from '../registry/credentials.js'
import type { Credentials } from '../registry/credentials.js'
import { ask } from '../registry/prompt.js'
import { pullImage } from '../registry/pull.js'
import { EngineError, UsageError, messageOf } from '../status.js'
import type { Invocation, Verb } from '../verb.js'

export const pull: Verb = {
  name: 'pull',
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  summary: 'Download an image from a registry',
  aliases: ['image pull', 'pull'],
  flags: [
    flag('bool', 'a,all-tags', 'Download all tagged images in the repository'),
    flag('string', 'platform', 'Set platform if server is multi-platform capable'),
    flag('bool', 'q,quiet', 'Suppress verbose output'),
  ],
  args: [1, 1],
  async run({ values, args, engine }) {
    const given = parseReference(args[0] ?? '')
    const all = values.bool('all-tags')
    if (all && (given.tag !== undefined || given.digest !== undefined)) throw new UsageError("tag can't be used with --all-tags/-a")
    const reference = all ? given : withDefaultTag(given)
    const quiet = values.bool('quiet')
    if (!all && reference !== given && !quiet) process.stdout.write('Using default tag: latest\n')
    await pullImage(engine, { reference, platform: values.string('platform'), quiet, output: process.stdout })
    process.stdout.write(`${formatReference(reference)}\n`)
  },
}

export const push: Verb = {
  name: 'push',
  usage: '[OPTIONS] NAME[:TAG]',
  summary: 'Upload an image to a registry',
  aliases: ['image push', 'push'],
  flags: [
    flag('bool', 'a,all-tags', 'Push all tags of an image to the repository'),
    flag('string', 'platform', 'Push a platform-specific manifest', { refused: 'an image here is of one platform', hidden: true }),
    flag('bool', 'q,quiet', 'Suppress verbose output'),
  ],
  args: [1, 1],
  async run({ values, args, engine }) {
    const given = parseReference(args[0] ?? '')
    const [all, quiet] = [values.bool('all-tags'), values.bool('quiet')]
    if (given.digest !== undefined) throw new UsageError('cannot push a digest reference')
    if (all && given.tag !== undefined) throw new UsageError("tag can't be used with --all-tags/-a")
    const reference = all ? given : withDefaultTag(given)
    if (reference !== given && !quiet) process.stdout.write('Using default tag: latest\n')
    const headers = await authHeader(reference.domain)
    const stream = await engine.stream('POST', `/images/${segment(familiarName(reference))}/push`, {
      query: { tag: reference.tag },
      headers,
    })
    await printProgress(stream, process.stdout, quiet)
    if (quiet) process.stdout.write(`${all ? repositoryOf(reference) : formatReference(reference)}\n`)
  },
}

async function passwordOf({ values }: Invocation): Promise<string | undefined> {
  if (values.bool('password-stdin')) {
    if (values.has('password')) throw new UsageError('--password and --password-stdin are mutually exclusive')
    if (values.string('username') === '') throw new UsageError('Must provide --username with --password-stdin')
    return (await readAll(process.stdin)).replace(/\r?\n$/, '')
  }
  if (!values.has('password')) return undefined
  process.stderr.write('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n')
  return values.string('password')
}

interface LoginAnswer {
  Status?: string
  IdentityToken?: string
}

export const login: Verb = {
  name: 'login',
  usage: '[OPTIONS] [SERVER]',
  summary: 'Authenticate to a registry',
  flags: [
    flag('string', 'p,password', 'Password'),
    flag('bool', 'password-stdin', 'Take the password from stdin'),
    flag('string', 'u,username', 'Username'),
  ],
  args: [0, 1],
  async run(invocation) {
    const { values, args, engine } = invocation
    const serveraddress = addressOf(args[0] ?? '')
    const send = (credentials: Credentials) => engine.post<LoginAnswer>('/auth', undefined, credentials)
    let username = values.string('username')
    let password = await passwordOf(invocation)
    const stored = await storedCredentials(serveraddress)
    if (username === '' && password === undefined && (stored.identitytoken ?? stored.password) !== undefined) {
      process.stderr.write('Authenticating with existing credentials...\n')
      try {
        await send(stored)
        process.stdout.write('Login Succeeded\n')
        return
      } catch (error) {
        if (!(error instanceof EngineError) || error.status !== 401) throw error
        process.stderr.write(`Login did not succeed, error: ${messageOf(error)}\n`)
      }
    }
    if ((username === '' || password === undefined) && !process.stdin.isTTY)
      throw new Error('Cannot perform an interactive login from a non TTY device: give --username and --password-stdin')
    const before = stored.username === undefined ? '' : ` (${stored.username})`
    if (username === '') username = (await ask(`Username${before}: `)).trim() || (stored.username ?? '')
    if (username === '') throw new Error('Username cannot be empty')
    password ??= await ask('Password: ', true)
    if (password === '') throw new Error('Password is required')
    const { IdentityToken: identitytoken = '' } = await send({ username, password, serveraddress })
    const helper = await storeCredentials({ username, password, serveraddress, identitytoken })
    if (helper === undefined) {
      process.stderr.write(
        `WARNING! Your credentials are stored unencrypted in '${configFile()}'. Set credsStore there to keep them in a credential helper.\n`,
      )
    }
    process.stdout.write('Login Succeeded\n')
  },
}

export const logout: Verb = {
  name: 'logout',
  usage: '[SERVER]',
  summary: 'Log out from a registry',
  flags: [],
  args: [0, 1],
  async run({ args }) {
    const address = addressOf(args[0] ?? '')
    const shown = address === hubAddress ? 'docker.io' : address
    const there = await forgetCredentials(address)
    process.stdout.write(there ? `Removing login credentials for ${shown}\n` : `Not logged in to ${shown}\n`)
  },
}
