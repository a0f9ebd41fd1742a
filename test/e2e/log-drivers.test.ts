import { spawn, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inflateSync } from 'node:zlib'
import { TestDaemon } from '../fixtures/daemon.js'
import { until } from '../fixtures/log-receivers.js'
import { needs } from '../fixtures/root.js'

const e2e = needs('root', 'busybox', 'docker', 'ip')
const program = path.join(import.meta.dirname, '../fixtures/log-receiver.js')
const datagramProgram = path.resolve(import.meta.dirname, '../../../test/fixtures/datagram_receiver.py')

async function withDaemon(run: (d: TestDaemon) => Promise<void>, config: Record<string, unknown> = {}): Promise<void> {
  const d = await TestDaemon.start({ config })
  try {
    await d.loadBusybox()
    await run(d)
  } finally {
    await d.destroy()
  }
}

/** A receiver on the loopback of the daemon's network namespace. */
class Receiver {
  readonly file: string
  private child: ChildProcess | undefined

  private constructor(
    private readonly d: TestDaemon,
    private readonly kind: 'tcp' | 'udp',
    private readonly port: number,
  ) {
    this.file = path.join(d.dir, `received-${port}`)
  }

  static async start(d: TestDaemon, kind: 'tcp' | 'udp', port: number): Promise<Receiver> {
    const receiver = new Receiver(d, kind, port)
    await receiver.start()
    return receiver
  }

  async start(): Promise<void> {
    const args = [`--net=/run/netns/${this.d.netns}`, process.execPath, program, this.kind, String(this.port), this.file]
    const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child = child
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve())
      child.once('exit', () => reject(new Error('the receiver ended')))
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal)
  }

  get text(): string {
    return fs.existsSync(this.file) ? fs.readFileSync(this.file, 'utf8') : ''
  }
}

async function withReceiver(d: TestDaemon, kind: 'tcp' | 'udp', port: number, run: (receiver: Receiver) => Promise<void>): Promise<void> {
  const receiver = await Receiver.start(d, kind, port)
  try {
    await run(receiver)
  } finally {
    receiver.signal('SIGKILL')
  }
}

const numbersOf = (text: string): number[] => [...text.matchAll(/number (\d+) of/g)].map(([, digits]) => Number(digits))
const upTo = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1)
/** Without those that were sent again after a kill. */
const first = (numbers: number[]): number[] => [...new Set(numbers)]
const counting = (last: number): string => `i=0; while [ $i -lt ${last} ]; do i=$((i+1)); echo number $i of ${last}; done`

e2e("local: docker logs reads Docker's binary files, rotated and compressed, also after kill -9", async (t) => {
  t.timeout(120_000)
  await withDaemon(
    async (d) => {
      await d.ok(
        'run',
        '-d',
        '--name',
        'box',
        '--network',
        'none',
        'busybox',
        'sh',
        '-c',
        `${counting(3000)}; echo oops >&2; printf end; read x`,
      )
      const dir = path.join(d.dataRoot, 'containers', await d.ok('inspect', '-f', '{{.Id}}', 'box'), 'local-logs')
      await d.ok('wait', 'box')
      const { stdout, stderr } = await d.docker('logs', 'box')
      t.is(stderr, 'oops\n')
      const numbers = numbersOf(stdout)
      t.is(numbers.at(-1), 3000)
      t.true(numbers.length > 500 && numbers.length < 3000, 'the oldest file is gone')
      t.deepEqual(numbers, upTo(3000).slice(-numbers.length))
      t.true(stdout.endsWith('\nend'))
      t.regex(fs.readdirSync(dir).join(' '), /container\.log .*\.gz/)
      t.is((await d.docker('logs', '--tail', '3', 'box')).stdout, 'number 3000 of 3000\nend')
      t.is(await d.ok('inspect', '-f', '{{.HostConfig.LogConfig.Type}} {{.LogPath}}', 'box'), 'local ')
      await d.killAndRestart()
      t.is((await d.docker('logs', 'box')).stdout, stdout)
      t.regex((await d.docker('run', '--log-opt', 'tag=x', 'busybox')).stderr, /unknown log opt 'tag' for local log driver/)
    },
    { 'log-driver': 'local', 'log-opts': { 'max-size': '40k', 'max-file': '2' } },
  )
})

e2e(
  'syslog: the receiver gets every line, docker logs has them too, and neither stalls nor deaths of the receiver hold up a container',
  async (t) => {
    t.timeout(120_000)
    await withDaemon(async (d) => {
      const options = ['--log-driver', 'syslog', '--log-opt', 'syslog-address=tcp://127.0.0.1:5514', '--log-opt', 'tag={{.Name}}']
      t.regex(
        (await d.docker('run', '--rm', '--network', 'none', ...options, 'busybox', 'true')).stderr,
        /failed to initialize logging driver: dial tcp 127\.0\.0\.1:5514: .*ECONNREFUSED/,
      )
      await withReceiver(d, 'tcp', 5514, async (receiver) => {
        await d.ok('run', '--rm', '--name', 'short', '--network', 'none', ...options, 'busybox', 'sh', '-c', 'echo out; echo err >&2')
        await until(
          'both lines',
          () => /<27>.* short\[\d+\]: err\n/.test(receiver.text) && /<30>.* short\[\d+\]: out\n/.test(receiver.text),
        )
        receiver.signal('SIGSTOP')
        const script = `${counting(100000)}; echo written > /done; sleep 1000`
        await d.ok('run', '-d', '--name', 'box', '--network', 'none', ...options, 'busybox', 'sh', '-c', script)
        const written = async (): Promise<boolean> => (await d.docker('exec', 'box', 'cat', '/done')).stdout === 'written\n'
        for (let i = 0; i < 200 && !(await written()); i++) await sleep(100)
        t.true(await written(), 'the container does not wait for a receiver that is stopped')
        t.is(await d.ok('logs', '--tail', '1', 'box'), 'number 100000 of 100000')
        receiver.signal('SIGKILL')
        const began = Date.now()
        await d.ok('kill', 'box')
        await d.ok('wait', 'box')
        t.true(Date.now() - began < 10_000, 'nor does its kill')
        fs.rmSync(receiver.file)
        await receiver.start()
        await until('everything that the first one had not read', () => receiver.text.includes('number 100000 of 100000'))
        const numbers = numbersOf(receiver.text)
        t.deepEqual(numbers, upTo(100000).slice(-numbers.length))
      })
    })
  },
)

e2e('fluentd: after kill -9 of the daemon what was written meanwhile arrives without a gap, of ended containers too', async (t) => {
  t.timeout(120_000)
  await withDaemon(async (d) => {
    await withReceiver(d, 'tcp', 24224, async (receiver) => {
      const options = ['--log-driver', 'fluentd', '--log-opt', 'fluentd-retry-wait=50ms']
      const slowly = 'i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo number $i of 60; sleep 0.05; done'
      await d.ok('run', '-d', '--name', 'box', '--network', 'none', ...options, 'busybox', 'sh', '-c', `${slowly}; sleep 1000`)
      const ending = `sleep 1; echo number 1 of the other`
      await d.ok('run', '-d', '--name', 'ends', '--network', 'none', ...options, 'busybox', 'sh', '-c', ending)
      await until('some lines', () => receiver.text.includes('number 9 of 60'))
      await d.signal('SIGKILL')
      await sleep(1500)
      t.false(receiver.text.includes('number 1 of the other'))
      await d.boot()
      await until('the last line', () => receiver.text.includes('number 60 of 60') && receiver.text.includes('number 1 of the other'))
      t.deepEqual(first([...receiver.text.matchAll(/number (\d+) of 60/g)].map(([, digits]) => Number(digits))), upTo(60))
      t.is(await d.ok('logs', '--tail', '1', 'box'), 'number 60 of 60')
      t.is(await d.ok('logs', 'ends'), 'number 1 of the other')
    })
  })
})

e2e('gelf over udp, and docker logs without a cache', async (t) => {
  await withDaemon(async (d) => {
    await withReceiver(d, 'udp', 12201, async (receiver) => {
      const options = ['--log-driver', 'gelf', '--log-opt', 'gelf-address=udp://127.0.0.1:12201', '--log-opt', 'cache-disabled=true']
      const zlib = ['--log-opt', 'gelf-compression-type=zlib', '--label', 'role=test', '--log-opt', 'labels=role']
      await d.ok('run', '-d', '--name', 'box', '--network', 'none', ...options, ...zlib, 'busybox', 'echo', 'hello')
      await until('a datagram', () => receiver.text !== '')
      const message = JSON.parse(inflateSync(fs.readFileSync(receiver.file)).toString()) as Record<string, unknown>
      t.like(message, { short_message: 'hello', _container_name: 'box', _role: 'test', level: 6 })
      t.regex((await d.docker('logs', 'box')).stderr, /configured logging driver does not support reading/)
      t.regex((await d.docker('run', '--log-driver', 'gelf', 'busybox')).stderr, /gelf-address is a required parameter/)
    })
  })
})

needs(
  'root',
  'busybox',
  'docker',
  'ip',
  'python3',
)('journald: fields of a container, and the log is read from the cache', async (t) => {
  await withDaemon(async (d) => {
    t.regex(
      (await d.docker('run', '--rm', '--log-driver', 'journald', 'busybox', 'true')).stderr,
      /failed to initialize logging driver: journald is not enabled on this host/,
    )
    const [socket, out] = [path.join(d.dir, 'journal'), path.join(d.dir, 'journal-out')]
    const child = spawn('python3', [datagramProgram, socket, out], { stdio: 'inherit' })
    try {
      await until('the receiver', () => fs.existsSync(socket))
      await d.signal('SIGTERM')
      d.options.config = { drivers: { log: { options: { journald: { socket } } } } }
      await d.boot()
      await d.ok('run', '-d', '--name', 'box', '--network', 'none', '--log-driver', 'journald', 'busybox', 'sh', '-c', 'echo bad >&2')
      const text = (): string => (fs.existsSync(out) ? fs.readFileSync(out, 'utf8') : '')
      await until('a message', () => text().includes('MESSAGE=bad\n'))
      t.regex(text(), /PRIORITY=3\n[^]*CONTAINER_NAME=box\n/)
      t.is((await d.docker('logs', 'box')).stderr, 'bad\n')
      t.is(await d.ok('info', '-f', '{{.Plugins.Log}}'), '[fluentd gelf journald json-file local none syslog]')
    } finally {
      child.kill('SIGKILL')
    }
  })
})
