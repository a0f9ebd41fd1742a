import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { run, type TestDaemon } from '../fixtures/daemon.js'
import { daemonSuite } from '../fixtures/suite.js'
import { encodeFrame } from '../../core/api/websocket.js'

const daemonTest = daemonSuite()

interface Stats {
  name: string
  id: string
  read: string
  preread: string
  pids_stats: { current?: number; limit?: number }
  blkio_stats: Record<string, { op: string; value: number }[] | null>
  cpu_stats: { cpu_usage: { total_usage: number; percpu_usage?: number[] }; system_cpu_usage?: number; online_cpus?: number }
  precpu_stats: { cpu_usage: { total_usage: number }; system_cpu_usage?: number }
  memory_stats: { usage?: number; limit?: number; stats?: Record<string, number> }
  networks?: Record<string, { rx_bytes: number; tx_bytes: number; tx_packets: number }>
}

const never = '0001-01-01T00:00:00Z'

daemonTest('stats tell what a container uses, once and in rates', async (t, d) => {
  await d.ok('run', '-d', '--name', 'busy', '--memory', '64m', '--pids-limit', '50', 'busybox', 'sh', '-c', 'while :; do :; done')
  const once = (await d.api('GET', '/containers/busy/stats?stream=false&one-shot=true')).json<Stats>()
  t.is(once.preread, never)
  t.is(once.precpu_stats.cpu_usage.total_usage, 0)
  const { id, name, ...rates } = (await d.api('GET', '/containers/busy/stats?stream=false')).json<Stats>()
  t.is(name, '/busy')
  t.regex(id, /^[0-9a-f]{64}$/)
  t.not(rates.preread, never)
  t.true(Date.parse(rates.read) > Date.parse(rates.preread))
  t.true(rates.cpu_stats.cpu_usage.total_usage > rates.precpu_stats.cpu_usage.total_usage)
  t.true((rates.cpu_stats.system_cpu_usage ?? 0) > (rates.precpu_stats.system_cpu_usage ?? 0))
  t.true((rates.cpu_stats.online_cpus ?? 0) > 0)
  t.is(rates.memory_stats.limit, 64 << 20)
  t.true((rates.memory_stats.usage ?? 0) > 0 && Object.keys(rates.memory_stats.stats ?? {}).length > 10)
  t.deepEqual(rates.pids_stats, { current: 1, limit: 50 })
  t.true(Array.isArray(rates.blkio_stats['io_service_bytes_recursive']))
  const shown = await d.ok('stats', '--no-stream', '--format', '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}', 'busy')
  const [, cpu = '0'] = /^busy ([\d.]+)% [\d.]+[KM]iB \/ 64MiB 1$/.exec(shown) ?? []
  t.true(Number(cpu) > 5, shown)
  const ours = await d.tsd('stats', '--no-stream', '--format', '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}', 'busy')
  t.regex(ours.stdout, /^busy [\d.]+% [\d.]+[KM]iB \/ 64MiB 1$/m)
})

daemonTest('stats count what goes over the network, and nothing of the host’s', async (t, d) => {
  await d.ok('run', '-d', '--name', 'talker', 'busybox', 'sleep', '1000')
  await d.ok('run', '-d', '--name', 'hosted', '--network', 'host', 'busybox', 'sleep', '1000')
  const sent = async (): Promise<number> =>
    (await d.api('GET', '/containers/talker/stats?stream=false&one-shot=1')).json<Stats>().networks?.['eth0']?.tx_bytes ?? -1
  const before = await sent()
  t.true(before >= 0)
  const gateway = await d.ok('inspect', '-f', '{{.NetworkSettings.Gateway}}', 'talker')
  await d.ok('exec', 'talker', 'ping', '-c', '3', '-i', '0.2', '-s', '1000', gateway)
  t.true((await sent()) - before >= 3000)
  t.is((await d.api('GET', '/containers/hosted/stats?stream=false&one-shot=1')).json<Stats>().networks, undefined)
})

daemonTest('a stream of stats goes on over a restart; a stopped container has but its name', async (t, d) => {
  await d.ok('create', '--name', 'later', 'busybox', 'sleep', '1000')
  const stopped = (await d.api('GET', '/containers/later/stats?stream=false')).json<Stats>()
  t.deepEqual([stopped.name, stopped.read, stopped.memory_stats], ['/later', never, {}])
  t.is((await d.api('GET', '/containers/nosuch/stats')).status, 404)
  const stream = run('timeout', ['6', 'curl', '-sN', '--unix-socket', d.socket, 'http://x/containers/later/stats'])
  await sleep(1500)
  await d.ok('start', 'later')
  const records = (await stream).stdout
    .split('\n')
    .filter(Boolean)
    .map((text) => JSON.parse(text) as Stats)
  t.true(records.length >= 3)
  t.is(records[0]?.read, never)
  t.not(records.at(-1)?.read, never)
  t.is(records.at(-1)?.preread, records.at(-2)?.read)
})

const cgroupFile = async (d: TestDaemon, name: string, controller: string, file: string): Promise<string> => {
  const pid = await d.ok('inspect', '-f', '{{.State.Pid}}', name)
  const line = fs
    .readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .find((text) => text.split(':')[1]?.split(',').includes(controller))
  return fs.readFileSync(`/sys/fs/cgroup/${controller}${line?.split(':')[2] ?? ''}/${file}`, 'utf8').trim()
}

daemonTest('update changes the limits of a running container, and the next start keeps them', async (t, d) => {
  await d.ok('run', '-d', '--name', 'box', '--memory', '64m', '--memory-swap', '128m', 'busybox', 'sleep', '1000')
  const flags = [
    '--memory',
    '32m',
    '--memory-swap',
    '96m',
    '--memory-reservation',
    '16m',
    '--cpu-shares',
    '512',
    '--cpu-period',
    '50000',
    '--cpu-quota',
    '25000',
  ]
  t.is(await d.ok('update', ...flags, '--cpuset-cpus', '0', '--pids-limit', '33', '--restart', 'on-failure:3', 'box'), 'box')
  const effect = async (): Promise<string[]> => [
    await cgroupFile(d, 'box', 'memory', 'memory.limit_in_bytes'),
    await cgroupFile(d, 'box', 'memory', 'memory.soft_limit_in_bytes'),
    await cgroupFile(d, 'box', 'cpu', 'cpu.shares'),
    await cgroupFile(d, 'box', 'cpu', 'cpu.cfs_period_us'),
    await cgroupFile(d, 'box', 'cpu', 'cpu.cfs_quota_us'),
    await cgroupFile(d, 'box', 'cpuset', 'cpuset.cpus'),
    await cgroupFile(d, 'box', 'pids', 'pids.max'),
  ]
  const expected = [String(32 << 20), String(16 << 20), '512', '50000', '25000', '0', '33']
  t.deepEqual(await effect(), expected)
  await d.killAndRestart()
  t.is(
    await d.ok(
      'inspect',
      '-f',
      '{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}} {{.HostConfig.Memory}}',
      'box',
    ),
    `on-failure:3 ${32 << 20}`,
  )
  await d.ok('restart', '-t', '0', 'box')
  t.deepEqual(await effect(), expected)
  t.is((await d.tsd('update', '--pids-limit', '-1', '--cpu-shares', '700', 'box')).code, 0)
  t.is(await cgroupFile(d, 'box', 'pids', 'pids.max'), 'max')
  t.is(await cgroupFile(d, 'box', 'cpu', 'cpu.shares'), '700')
})

daemonTest('update of a stopped container counts at its start; what cannot be is refused and changes nothing', async (t, d) => {
  await d.ok('create', '--name', 'box', '--memory', '64m', 'busybox', 'sleep', '1000')
  await d.ok('update', '--cpus', '0.5', 'box')
  await d.ok('start', 'box')
  t.is(await cgroupFile(d, 'box', 'cpu', 'cpu.cfs_quota_us'), '50000')
  const refused = async (pattern: RegExp, ...flags: string[]): Promise<void> => {
    const { code, stderr } = await d.docker('update', ...flags, 'box')
    t.is(code, 1, flags.join(' '))
    t.regex(stderr, pattern)
  }
  await refused(/CPU Period cannot be updated as NanoCPUs has already been set/, '--cpu-period', '50000')
  await refused(/update the memoryswap at the same time/, '--memory', '512m')
  await refused(/Minimum memory limit allowed is 6MB/, '--memory', '1m')
  await refused(/Requested CPUs are not available/, '--cpuset-cpus', '4000')
  await refused(
    /maximum retry count can only be used with 'on-failure'|invalid restart policy|maximum retry count/,
    '--restart',
    'always:3',
  )
  const fields = await d.api('POST', '/containers/box/update', { Devices: [{ PathOnHost: '/dev/null' }] })
  t.is(fields.status, 400)
  t.regex(fields.body.toString(), /Devices of a container cannot be updated/)
  t.is((await d.api('POST', '/containers/nosuch/update', {})).status, 404)
  t.is(await cgroupFile(d, 'box', 'memory', 'memory.limit_in_bytes'), String(64 << 20))
  await d.ok('run', '-d', '--rm', '--name', 'gone', 'busybox', 'sleep', '1000')
  const policy = await d.docker('update', '--restart', 'always', 'gone')
  t.regex(policy.stderr, /Restart policy cannot be updated because AutoRemove is enabled/)
})

daemonTest('checkpoints are refused by name', async (t, d) => {
  await d.ok('create', '--name', 'box', 'busybox', 'true')
  for (const [method, path] of [
    ['GET', '/containers/box/checkpoints'],
    ['POST', '/containers/box/checkpoints'],
    ['DELETE', '/containers/box/checkpoints/c1'],
  ] as const) {
    const answer = await d.api(method, path)
    t.is(answer.status, 501)
    t.regex(answer.body.toString(), /checkpoints are not supported/)
  }
})

/** A WebSocket client of a few lines: what it received, and a way to send. */
async function webSocket(
  d: TestDaemon,
  path: string,
): Promise<{ status: string; received: () => string; send: (text: string) => void; close: () => void; closed: Promise<void> }> {
  const key = randomBytes(16).toString('base64')
  const socket = net.connect(d.socket)
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => (bytes = Buffer.concat([bytes, chunk])))
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  while (!bytes.includes('\r\n\r\n')) await sleep(5)
  const end = bytes.indexOf('\r\n\r\n') + 4
  const head = bytes.subarray(0, end).toString()
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  if (head.startsWith('HTTP/1.1 101') && !head.includes(`Sec-WebSocket-Accept: ${accept}`)) throw new Error(`a wrong accept key: ${head}`)
  const received = (): string => {
    const out: Buffer[] = []
    for (let at = end; at + 2 <= bytes.length;) {
      const short = (bytes[at + 1] as number) & 0x7f
      const size = short === 126 ? 4 : 2
      const length = short === 126 ? bytes.readUInt16BE(at + 2) : short
      if (((bytes[at] as number) & 0x0f) === 2) out.push(bytes.subarray(at + size, at + size + length))
      at += size + length
    }
    return Buffer.concat(out).toString()
  }
  const send = (opcode: number, payload: Buffer): void => {
    const frame = encodeFrame(opcode, payload)
    const header = frame.subarray(0, frame.length - payload.length)
    header[1] = (header[1] as number) | 0x80
    socket.write(Buffer.concat([header, Buffer.alloc(4), payload]))
  }
  return {
    status: head.split('\r\n')[0] ?? '',
    received,
    send: (text) => send(1, Buffer.from(text)),
    close: () => send(8, Buffer.from([3, 232])),
    closed,
  }
}

daemonTest('attach over a WebSocket carries stdin and output', async (t, d) => {
  await d.ok('run', '-di', '--name', 'box', 'busybox', 'sh', '-c', 'while read line; do echo "got $line"; done; echo over >&2')
  const client = await webSocket(d, '/v1.51/containers/box/attach/ws?stream=1&stdin=1&stdout=1&stderr=1')
  t.is(client.status, 'HTTP/1.1 101 UPGRADED')
  client.send('one\n')
  client.send('two\n')
  while (!client.received().includes('got two')) await sleep(10)
  t.is(client.received(), 'got one\ngot two\n')
  client.close()
  await client.closed
  t.is(await d.ok('inspect', '-f', '{{.State.Running}}', 'box'), 'true')
  const late = await webSocket(d, '/v1.51/containers/box/attach/ws?logs=1&stdout=1&stderr=1')
  while (!late.received().includes('got two')) await sleep(10)
  await late.closed
  const plain = await d.api('GET', '/containers/box/attach/ws?stream=1')
  t.is(plain.status, 400)
  t.regex(plain.body.toString(), /not a WebSocket handshake/)
  const missing = await webSocket(d, '/v1.51/containers/nosuch/attach/ws?stream=1&stdout=1')
  t.is(missing.status, 'HTTP/1.1 404 Not Found')
})
