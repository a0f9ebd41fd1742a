import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run, TestDaemon, type Output } from '../fixtures/daemon.js'
import { busyboxImage, mountsBelow, needs, onPath } from '../fixtures/root.js'

const script = "head -c 40000 /dev/zero | tr '\\0' x; echo; echo plain; echo; echo err >&2; printf end"
const container = ['run', '--name', 'box', '--network', 'none', '--log-driver', 'local', 'busybox', 'sh', '-c', script]

needs(
  'root',
  'busybox',
  'docker',
  'ip',
  'dockerd',
)("dockerd reads the shim's files of the local format, and tsd dockerd's", async (t) => {
  t.timeout(120_000)
  const d = await TestDaemon.start()
  const [dir, socket] = [path.join(d.dir, 'dockerd'), path.join(d.dir, 'dockerd.sock')]
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'config.json'), '{}')
  const places = ['--data-root', path.join(dir, 'data'), '--exec-root', path.join(dir, 'run'), '--pidfile', path.join(dir, 'pid')]
  const quiet = ['--config-file', path.join(dir, 'config.json'), '--bridge', 'none', '--iptables=false', '-H', `unix://${socket}`]
  const dockerd = spawn('nsenter', [`--net=/run/netns/${d.netns}`, onPath('dockerd') ?? '', ...places, ...quiet], { stdio: 'ignore' })
  const docker = (...args: string[]): Promise<Output> => run('docker', args, { env: { ...process.env, DOCKER_HOST: `unix://${socket}` } })
  const fileOf = (data: string, id: string): string => path.join(data, 'containers', id.trim(), 'local-logs/container.log')
  try {
    await d.loadBusybox()
    await d.ok(...container)
    for (let i = 0; i < 300 && (await docker('version')).code !== 0; i++) await sleep(100)
    const archive = path.join(dir, 'image.tar')
    fs.writeFileSync(archive, await busyboxImage())
    t.is((await docker('load', '-i', archive)).code, 0)
    t.is((await docker(...container)).code, 0)
    const [ours, theirs] = [
      fileOf(d.dataRoot, await d.ok('inspect', '-f', '{{.Id}}', 'box')),
      fileOf(path.join(dir, 'data'), (await docker('inspect', '-f', '{{.Id}}', 'box')).stdout),
    ]
    // Long lines are told short in a failure.
    const brief = ({ code, stdout, stderr }: Output): unknown => ({
      code,
      stdout: stdout.replace(/x+/g, (run) => `x ${run.length} `),
      stderr,
    })
    const expected = { code: 0, stdout: 'x 40000 \nplain\n\nend', stderr: 'err\n' }
    const [written, theirsBefore] = [fs.readFileSync(ours), fs.readFileSync(theirs)]
    t.deepEqual(brief(await d.docker('logs', 'box')), expected)
    // Some of its versions print no newline behind a long line: it has to read ours as it reads its own.
    const own = brief(await docker('logs', 'box'))
    fs.writeFileSync(theirs, written)
    t.deepEqual(brief(await docker('logs', 'box')), own)
    t.regex(JSON.stringify(own), /x 40000 .*plain.*end/)
    t.is((await docker('logs', '--tail', '1', 'box')).code, 0)
    fs.writeFileSync(ours, theirsBefore)
    t.deepEqual(brief(await d.docker('logs', 'box')), expected)
    t.is((await docker('rm', 'box')).code, 0)
  } finally {
    const ended = new Promise((resolve) => dockerd.once('exit', resolve))
    dockerd.kill('SIGTERM')
    await Promise.race([ended, sleep(15_000)])
    for (const target of mountsBelow(dir).reverse()) await run('umount', ['-l', target])
    await d.destroy()
  }
})
