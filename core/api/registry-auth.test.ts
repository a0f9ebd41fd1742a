import test from 'ava'
import type { PullOptions, RegistryCredentials } from '../engine/distribution/index.js'
import type { ApiServices } from './services.js'
import { request } from './testing/client.js'
import { partial, running, type Running } from './testing/fakes.js'

const pulls: PullOptions[] = []
const logins: RegistryCredentials[] = []
let daemon: Running
test.before(async () => {
  daemon = await running({
    distribution: partial<ApiServices['distribution']>('distribution', {
      async *pull(options) {
        pulls.push(options)
        yield { status: 'done' }
      },
      login: async (credentials) => {
        logins.push(credentials)
        return 'refresh'
      },
    }),
  })
})
test.after.always(() => daemon.stop())

const none = { username: '', password: '', identityToken: '', registryToken: '', serverAddress: '' }
const encoded = (value: unknown, alphabet: 'base64' | 'base64url' = 'base64url'): string =>
  Buffer.from(JSON.stringify(value)).toString(alphabet)

async function pull(header?: string): Promise<{ status: number; message: string }> {
  return request(
    daemon.socket,
    'POST',
    '/images/create?fromImage=x&tag=1&platform=linux/arm64',
    undefined,
    header === undefined ? {} : { 'X-Registry-Auth': header },
  )
}

test.serial('X-Registry-Auth carries credentials, tokens, or nothing', async (t) => {
  for (const [header, expected] of [
    [undefined, none],
    ['e30=', none],
    [encoded({ username: 'u', password: 'p', serveraddress: 's' }), { ...none, username: 'u', password: 'p', serverAddress: 's' }],
    [encoded({ Username: '\u{1F40B}~?>', Password: 'ö' }, 'base64'), { ...none, username: '\u{1F40B}~?>', password: 'ö' }],
    [encoded({ identitytoken: 'i', username: '<token>' }), { ...none, identityToken: 'i', username: '<token>' }],
    [encoded({ registrytoken: 'r', unknown: 7 }), { ...none, registryToken: 'r' }],
    [encoded({ auth: Buffer.from('u:p:with:colons').toString('base64') }), { ...none, username: 'u', password: 'p:with:colons' }],
  ] as const) {
    pulls.length = 0
    const answer = await pull(header)
    t.is(answer.status, 200, answer.message)
    const [{ image, tag, platform, credentials } = {} as PullOptions] = pulls
    t.deepEqual([image, tag, platform, credentials], ['x', '1', 'linux/arm64', expected])
  }
  for (const header of ['%%%', encoded('text'), encoded({ username: 7 })]) {
    const answer = await pull(header)
    t.is(answer.status, 400, header)
    t.regex(answer.message, /X-Registry-Auth|cannot unmarshal/)
  }
})

test.serial('POST /auth hands credentials over and answers the identity token', async (t) => {
  const body = { username: 'u', password: 'p', serveraddress: 'registry.example:5000' }
  const answer = await request(daemon.socket, 'POST', '/auth', body)
  t.is(answer.text, '{"Status":"Login Succeeded","IdentityToken":"refresh"}\n')
  t.deepEqual(logins, [{ ...none, username: 'u', password: 'p', serverAddress: 'registry.example:5000' }])
  t.is((await request(daemon.socket, 'POST', '/auth')).status, 400)
})
