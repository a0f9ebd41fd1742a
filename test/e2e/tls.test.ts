import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import type { ExecutionContext } from 'ava'
import { TestDaemon, type Output } from '../fixtures/daemon.js'
import { needs, tempDir } from '../fixtures/root.js'

const e2e = needs('root', 'busybox', 'docker', 'ip', 'openssl')
const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' })

interface Certificates {
  dir: string
  file(name: string): string
}

/** An authority, a server for 127.0.0.1, a client, and a client of another authority. */
function certificates(t: ExecutionContext): Certificates {
  const dir = tempDir(t, 'tls')
  const file = (name: string): string => path.join(dir, name)
  const key = ['-newkey', 'rsa:2048', '-nodes']
  const sign = (name: string, authority: string, extension: string): void => {
    openssl('req', '-new', ...key, '-keyout', file(`${name}-key.pem`), '-out', file(`${name}.csr`), '-subj', `/CN=${name}`)
    fs.writeFileSync(file(`${name}.ext`), extension)
    const from = ['-CA', file(`${authority}.pem`), '-CAkey', file(`${authority}-key.pem`), '-CAcreateserial']
    openssl('x509', '-req', '-in', file(`${name}.csr`), ...from, '-days', '2', '-extfile', file(`${name}.ext`), '-out', file(`${name}.pem`))
  }
  for (const authority of ['ca', 'other-ca'])
    openssl(
      'req',
      '-x509',
      ...key,
      '-days',
      '2',
      '-keyout',
      file(`${authority}-key.pem`),
      '-out',
      file(`${authority}.pem`),
      '-subj',
      `/CN=${authority}`,
    )
  sign('server', 'ca', 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
  sign('client', 'ca', 'extendedKeyUsage=clientAuth\n')
  sign('stranger', 'other-ca', 'extendedKeyUsage=clientAuth\n')
  return { dir, file }
}

/** The real docker CLI from inside the daemon's network namespace. */
function remote(d: TestDaemon, certs: Certificates, client: string, args: string[], input?: string): Promise<Output> {
  const flags = [
    '--tlsverify',
    '--tlscacert',
    certs.file('ca.pem'),
    '--tlscert',
    certs.file(`${client}.pem`),
    '--tlskey',
    certs.file(`${client}-key.pem`),
  ]
  const all = [`--net=/run/netns/${d.netns}`, 'docker', '-H', 'tcp://127.0.0.1:2376', ...flags, ...args]
  return new Promise((resolve) => {
    const child = spawn('nsenter', all, { env: { ...process.env, DOCKER_CONFIG: path.join(d.dir, 'docker-config') } })
    const [out, err]: [Buffer[], Buffer[]] = [[], []]
    child.stdout.on('data', (data: Buffer) => out.push(data))
    child.stderr.on('data', (data: Buffer) => err.push(data))
    child.on('close', (code) =>
      resolve({ code: code ?? 255, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    )
    child.stdin.end(input ?? '')
  })
}

/** What a socket answers to bytes, until it is closed or has answered. */
function raw(d: TestDaemon, port: number, text: string): Promise<string> {
  const script = `const s=require('net').connect(${port},'127.0.0.1',()=>s.write(${JSON.stringify(text)}));s.setTimeout(3000,()=>s.destroy());s.on('error',()=>0);s.pipe(process.stdout)`
  return d.host(process.execPath, '-e', script).then(({ stdout }) => stdout)
}

e2e('tcp with client certificates: the docker CLI with --tlsverify, and nobody else', async (t) => {
  t.timeout(120_000)
  const certs = certificates(t)
  const d = await TestDaemon.start()
  try {
    await d.signal('SIGTERM')
    d.options.config = {
      hosts: [`unix://${d.socket}`, 'tcp://127.0.0.1'],
      tlsverify: true,
      tlscacert: certs.file('ca.pem'),
      tlscert: certs.file('server.pem'),
      tlskey: certs.file('server-key.pem'),
    }
    await d.boot()
    t.false(d.log.includes('!!!'), d.log)
    await d.loadBusybox()
    const as = (client: string, args: string[], input?: string): Promise<Output> => remote(d, certs, client, args, input)
    t.is((await as('client', ['version', '-f', '{{.Server.APIVersion}}'])).stdout, '1.51\n')
    const cat = await as(
      'client',
      ['run', '--rm', '-i', '--network', 'none', 'busybox', 'sh', '-c', 'cat; echo err >&2; exit 7'],
      'over tls',
    )
    t.deepEqual(cat, { code: 7, stdout: 'over tls', stderr: 'err\n' })
    t.is((await as('client', ['run', '-d', '--name', 'box', '--network', 'none', 'busybox', 'sleep', '1000'])).code, 0)
    t.is((await as('client', ['exec', '-i', 'box', 'wc', '-c'], 'x'.repeat(3_000_000))).stdout.trim(), '3000000')
    t.is((await as('client', ['logs', 'box'])).code, 0)
    const stranger = await as('stranger', ['ps'])
    t.not(stranger.code, 0)
    t.regex(stranger.stderr, /certificate|alert/)
    const anonymous = `--net=/run/netns/${d.netns}`
    const s_client = execFileSync('sh', [
      '-c',
      `echo "GET /_ping HTTP/1.0\r\n\r\n" | nsenter ${anonymous} openssl s_client -quiet -connect 127.0.0.1:2376 2>&1; true`,
    ]).toString()
    t.notRegex(s_client, /200 OK/)
    t.notRegex(await raw(d, 2376, 'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n'), /200 OK/)
    // Connections that were taken over end with the daemon.
    const attached = as('client', ['attach', 'box'])
    await d.signal('SIGTERM')
    await attached
    t.pass()
  } finally {
    await d.destroy()
  }
})

e2e('tcp without verification is served with a loud warning, and by a strict parser', async (t) => {
  t.timeout(60_000)
  const certs = certificates(t)
  const d = await TestDaemon.start()
  try {
    await d.signal('SIGTERM')
    d.options.config = { hosts: [`unix://${d.socket}`, 'tcp://127.0.0.1:4444'] }
    await d.boot()
    t.regex(d.log, /level=warning msg="!!! tcp:\/\/127\.0\.0\.1:4444 ASKS NO CLIENT WHO IT IS.*in the clear/)
    t.regex(await raw(d, 4444, 'GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 OK[^]*OK$/)
    t.regex(await raw(d, 4444, 'GET /_ping HTTP/1.0\r\n\n'), /^HTTP\/1\.1 400/)
    const smuggled = 'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
    t.regex(await raw(d, 4444, smuggled), /^HTTP\/1\.1 400/)
    await d.signal('SIGTERM')
    d.options.config = { ...d.options.config, tls: true, tlscert: certs.file('server.pem'), tlskey: certs.file('server-key.pem') }
    await d.boot()
    t.regex(d.log, /ASKS NO CLIENT WHO IT IS: whoever can connect to it is root on this machine"/)
    const flags = ['-H', 'tcp://127.0.0.1:4444', '--tls', '--tlscacert', certs.file('ca.pem')]
    t.is((await d.host('docker', ...flags, 'version', '-f', '{{.Server.APIVersion}}')).stdout, '1.51\n')
  } finally {
    await d.destroy()
  }
})

e2e('certificates that cannot be used are told before anything is made', async (t) => {
  const certs = certificates(t)
  const d = await TestDaemon.start()
  try {
    await d.signal('SIGTERM')
    const refused: [Record<string, unknown>, RegExp][] = [
      [
        { tlscert: '/nowhere.pem', tlskey: certs.file('server-key.pem') },
        /--tlscert \/nowhere\.pem: ENOENT.*name a PEM file with --tlscert/,
      ],
      [
        { tlscert: certs.file('server.pem'), tlskey: certs.file('client-key.pem') },
        /tlscert, tlskey or tlscacert cannot be used: .*key values mismatch/,
      ],
      [
        { tlscert: certs.file('server.pem'), tlskey: certs.file('server-key.pem'), tlscacert: certs.file('client.csr') },
        /cannot be used|no start line/i,
      ],
    ]
    for (const [config, message] of refused) {
      d.options.config = { hosts: ['tcp://127.0.0.1:4444'], tlsverify: true, tlscacert: certs.file('ca.pem'), ...config }
      await t.throwsAsync(d.boot(), { message })
    }
    d.options.config = { hosts: ['fd://'] }
    await t.throwsAsync(d.boot(), { message: /cannot listen on fd:\/\/: no sockets were handed over \(LISTEN_FDS\)/ })
  } finally {
    await d.destroy()
  }
})

e2e('fd://: a socket of the service manager is served, outlives the daemon, and no other process holds it', async (t) => {
  t.timeout(60_000)
  const d = await TestDaemon.start()
  const server = net.createServer()
  const socket = path.join(d.dir, 'activated.sock')
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const main = path.resolve(import.meta.dirname, '../../core/daemon/main.js')
  const start = (): ReturnType<typeof spawn> => {
    const log = fs.openSync(path.join(d.dir, 'activated.log'), 'a')
    const command = [`--net=/run/netns/${d.netns}`, process.execPath, main, '--config-file', path.join(d.dir, 'daemon.json')]
    const script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec nsenter "$@"'
    const child = spawn('sh', ['-c', script, 'sh', ...command], { stdio: ['ignore', log, log, fd], detached: true })
    fs.closeSync(log)
    return child
  }
  let daemon: ReturnType<typeof spawn> | undefined
  const ended = async (signal: NodeJS.Signals): Promise<void> => {
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return
    const gone = new Promise((resolve) => daemon?.once('exit', resolve))
    daemon.kill(signal)
    await gone
  }
  const docker = (...args: string[]): string =>
    execFileSync('docker', ['-H', `unix://${socket}`, ...args], { encoding: 'utf8', timeout: 30_000 })
  try {
    await d.loadBusybox()
    await d.signal('SIGTERM')
    d.options.config = { hosts: ['fd://'], 'live-restore': true }
    d.launch(['--validate'])
    daemon = start()
    // Whoever connects before the daemon is up waits in the socket's queue.
    t.is(docker('run', '-d', '--name', 'box', '--network', 'none', 'busybox', 'sleep', '1000').trim().length, 64)
    t.is(docker('exec', 'box', 'sh', '-c', 'echo ${LISTEN_FDS:-none}; ls /proc/self/fd | wc -w').split('\n')[0], 'none')
    const inode = fs
      .readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .find((line) => line.endsWith(socket))
      ?.trim()
      .split(/\s+/)[6]
    const pointsTo = (link: string): string => {
      try {
        return fs.readlinkSync(link)
      } catch {
        return ''
      }
    }
    const descriptors = (pid: string): string[] => {
      try {
        return fs.readdirSync(`/proc/${pid}/fd`).map((name) => pointsTo(`/proc/${pid}/fd/${name}`))
      } catch {
        return []
      }
    }
    const processes = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const holders = processes.filter((pid) => descriptors(pid).includes(`socket:[${inode}]`))
    t.deepEqual(
      holders.map(Number).sort((a, b) => a - b),
      [process.pid, daemon.pid ?? 0].sort((a, b) => a - b),
    )
    await ended('SIGTERM')
    t.true(fs.existsSync(socket))
    daemon = start()
    t.is(docker('ps', '--format', '{{.Names}}').trim(), 'box')
  } finally {
    await ended('SIGKILL')
    server.close()
    await d.destroy()
  }
})
