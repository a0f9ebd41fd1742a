// Carried out by names.test.ts in network and mount namespaces of its own: a name server in a sandbox, and one on the loopback of the host.
import 'reflect-metadata'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { Endpoint, Networks } from '../../../core/engine/networks/index.js'
import { NamesService } from '../../../core/engine/names/index.js'
import { KernelNamespaceSockets } from '../../../core/platform/namespace-sockets.js'
import { hideNamespaces, Sandbox, sh } from './netns.js'

const fixtures = path.resolve(import.meta.dirname, '../../fixtures')
const quiet = { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error }

hideNamespaces()
sh('ip link set lo up')
const outside = spawn(process.execPath, [path.join(fixtures, 'name-server.program.js'), '127.0.0.1', 'host'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
await once(outside.stdout, 'data')
const sandbox = new Sandbox('inside')
try {
  const directory = { named: () => [], addressed: () => undefined } as unknown as Networks
  const names = new NamesService(directory, new KernelNamespaceSockets(), quiet)
  const { ports, steps } = names.plan()
  sandbox.join({ host: [], container: [{ op: 'up', link: 'lo' }, ...steps] })
  const endpoint = { settings: {}, join: { gateway: '10.0.0.1', gatewayIPv6: '' } } as unknown as Endpoint
  const ask = async (fromHost: boolean): Promise<string> => {
    const upstream = [{ address: '127.0.0.1', fromHost }]
    names.open({ owner: 'c', target: { path: sandbox.path }, ports, endpoints: () => [endpoint], upstream, keepSingleLabels: false })
    const questions = [
      { name: 'who.test', type: 'TXT' },
      { name: 'who.test', type: 'TXT', tcp: true },
    ]
    const program = [process.execPath, path.join(fixtures, 'ask-names.program.js'), '127.0.0.11', JSON.stringify(questions)]
    const child = spawn('ip', ['netns', 'exec', 'inside', ...program], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    for await (const chunk of child.stdout) text += String(chunk)
    return (JSON.parse(text) as { rcode: string; data: string[] }[]).map(({ rcode, data }) => data[0] ?? rcode).join(', ')
  }
  const told = 'host was asked by 127.0.0.1'
  assert.equal(await ask(true), `${told}, ${told}`)
  // The loopback of the sandbox is another one.
  assert.equal(await ask(false), 'SERVFAIL, SERVFAIL')
  names.close('c')
  assert.equal(sandbox.sh('cat /proc/net/udp | wc -l').trim(), '1', 'a socket is left in the sandbox')
  console.log(JSON.stringify({ ok: true }))
} finally {
  outside.kill('SIGKILL')
  sandbox.end()
}
process.exit(0)
