import fs from 'node:fs'
import path from 'node:path'
import type { TestDaemon } from '../fixtures/daemon.js'
import { tempDir, type TarEntry } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

/** What an image or a command may try to get at the host by way of the launcher, and does not. */
const daemonTest = daemonSuite()

const hostile = async (d: TestDaemon, files: TarEntry[], config: Record<string, unknown> = {}): Promise<void> => {
  await d.docker('rmi', '-f', 'escape:1')
  await d.loadBusybox({ tag: 'escape:1', files, config })
}
const link = (name: string, linkname: string): TarEntry => ({ name, type: 'symlink', linkname })
const DESCRIPTORS = Array.from({ length: 24 }, (_, i) => i + 3)

function children(pid: number): number[] {
  const tasks = fs.readdirSync(`/proc/${pid}/task`)
  return tasks.flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
}

daemonTest('a working directory cannot be a descriptor of the launcher', async (t, d) => {
  t.timeout(120_000)
  await d.ok('run', '-d', '--name', 'victim', 'busybox', 'sleep', '600')
  for (const fd of DESCRIPTORS) {
    const ran = await d.docker('run', '--rm', '-w', `/proc/self/fd/${fd}`, 'busybox', 'ls', '../../../..')
    t.not(ran.code, 0)
    t.is(ran.stdout, '')
    t.regex(ran.stderr, /chdir to cwd/)
    const executed = await d.docker('exec', '-w', `/proc/self/fd/${fd}`, 'victim', 'ls', '../../../..')
    t.not(executed.code, 0)
    t.regex(executed.stdout + executed.stderr, /chdir to cwd/)
  }
  await hostile(d, [link('w', '/proc/self/fd/3')], { WorkingDir: '/w', Cmd: ['ls', '../../..'] })
  t.not((await d.docker('run', '--rm', 'escape:1')).code, 0)
})

daemonTest('a working directory of another process is not entered, nor made', async (t, d) => {
  const made = path.join(d.dir, 'made-by-a-container')
  for (const where of ['/proc/1/root', `/proc/1/root${made}`, '/proc/1/cwd'])
    t.not((await d.docker('run', '--rm', '--pid', 'host', '-w', where, 'busybox', 'pwd')).code, 0)
  t.false(fs.existsSync(made))
})

daemonTest('a program is not found by a descriptor of the launcher', async (t, d) => {
  await d.ok('run', '-d', '--name', 'victim', 'busybox', 'sleep', '600')
  for (const fd of DESCRIPTORS.slice(0, 12)) {
    const program = `/proc/self/fd/${fd}/../../../../../../bin/sh`
    for (const args of [
      ['run', '--rm', '--entrypoint', program, 'busybox'],
      ['exec', 'victim', program],
    ]) {
      const { code, stdout, stderr } = await d.docker(...args)
      t.not(code, 0)
      t.regex(stdout + stderr, /no such file or directory|not a directory/)
    }
  }
})

daemonTest('no descriptor but the three of stdio reaches a container or an exec, and those are not the host’s', async (t, d) => {
  await d.ok('run', '-d', '--name', 'victim', 'busybox', 'sleep', '600')
  for (const where of [
    ['run', '--rm', 'busybox'],
    ['exec', 'victim'],
  ]) {
    // A shell would have descriptors of its own.
    const list = await d.ok(...where, 'ls', '-l', '/proc/self/fd')
    const fds = [...list.matchAll(/(\d+ -> [^[\n]*)/g)].map(([, fd = '']) => fd).filter((fd) => !/ -> \/proc\/\d+\/fd$/.test(fd))
    t.deepEqual(fds, ['0 -> /dev/null', '1 -> pipe:', '2 -> pipe:'])
    const [own, given] = (await d.ok(...where, 'sh', '-c', 'stat -c %d /dev/null; stat -Lc %d /proc/$$/fd/0')).split('\n')
    t.is(given, own)
  }
  const before = fs.statSync('/dev/null')
  await d.ok('run', '--rm', 'busybox', 'touch', '-c', '-d', '2001-01-01 00:00:00', '/proc/self/fd/0')
  await d.ok('exec', 'victim', 'touch', '-c', '-d', '2001-01-01 00:00:00', '/proc/self/fd/0')
  t.not(fs.statSync('/dev/null').mtimeMs, Date.parse('2001-01-01T00:00:00Z'))
  t.is(fs.statSync('/dev/null').mode, before.mode)
  const empty = path.join(tempDir(t), 'dev')
  fs.mkdirSync(empty)
  t.is(await d.ok('run', '--rm', '--security-opt', 'systempaths=unconfined', '-v', `${empty}:/dev`, 'busybox', 'cat'), '')
})

daemonTest('the launcher’s program cannot be written to by way of /proc', async (t, d) => {
  await d.ok('run', '-d', '--name', 'victim', 'busybox', 'sleep', '600')
  const zygotes = children(d.pid).filter((pid) => fs.readlinkSync(`/proc/${pid}/exe`).includes('tsd-shim'))
  t.is(zygotes.length, 1)
  for (const pid of [...zygotes, ...zygotes.flatMap(children)]) t.is(fs.readlinkSync(`/proc/${pid}/exe`), '/memfd:tsd-shim (deleted)')
  await hostile(d, [{ name: 'again', content: '#!/proc/self/exe\n', mode: 0o755 }])
  const { stdout, stderr, code } = await d.docker('run', '--rm', 'escape:1', '/again')
  t.not(code, 0)
  t.regex(stdout + stderr, /started by the tsd daemon/)
})

daemonTest('/proc and /sys are mounted on ordinary directories only', async (t, d) => {
  for (const [name, target] of [
    ['proc', '/elsewhere'],
    ['proc', '../../../elsewhere'],
    ['sys', 'elsewhere'],
  ] as const) {
    await hostile(d, [{ name: 'elsewhere/', type: 'directory' }, link(name, target)])
    const { code, stderr } = await d.docker('run', '--rm', 'escape:1', 'true')
    t.not(code, 0)
    t.regex(stderr, /must be mounted on ordinary directory/)
  }
  await hostile(d, [{ name: 'dev', content: '' }])
  t.regex((await d.docker('run', '--rm', 'escape:1', 'true')).stderr, /mountIn \/dev: not a directory/)
})

daemonTest('links of an image lead its mounts nowhere but inside, and what they name is made there', async (t, d) => {
  const outside = path.join(d.dir, 'outside')
  await hostile(d, [
    link('etc/hosts', `../../../../../../..${outside}/hosts`),
    link('etc/resolv.conf', '../run/resolve/stub.conf'),
    link('etc/hostname', '/nowhere/hostname'),
    link('data', `../../..${outside}/data`),
    link('loop', 'loop'),
  ])
  const volume = tempDir(t)
  fs.writeFileSync(path.join(volume, 'f'), 'of the volume')
  const script = `cat /etc/hostname; grep -c localhost /etc/hosts; test -s /run/resolve/stub.conf && cat /data/f ${outside}/data/f`
  const run = await d.ok('run', '--rm', '-h', 'inside', '-v', `${volume}:/data`, 'escape:1', 'sh', '-c', script)
  t.regex(run, /^inside\n[1-9]\nof the volumeof the volume$/)
  t.false(fs.existsSync(outside))
  t.regex((await d.docker('run', '--rm', '-v', `${volume}:/loop`, 'escape:1', 'true')).stderr, /ELOOP/)
})

daemonTest('what masks a path is the null device, whatever /dev/null is in a volume', async (t, d) => {
  const dev = tempDir(t)
  fs.symlinkSync('/proc/sys/kernel/core_pattern', path.join(dev, 'null'))
  const { code, stderr } = await d.docker('run', '--rm', '-v', `${dev}:/dev`, 'busybox', 'true')
  t.not(code, 0)
  t.regex(stderr, /\/dev\/null.*needed to mask/)
})

daemonTest('a user file of the image that leads to another process is not read', async (t, d) => {
  await hostile(d, [link('etc/passwd', '/proc/1/root/etc/passwd')])
  const { code, stderr } = await d.docker('run', '--rm', '--pid', 'host', '-u', 'root', 'escape:1', 'true')
  t.not(code, 0)
  t.regex(stderr, /unable to find user root|cannot be read/)
})

daemonTest('an exec ends although a process that it left behind goes on writing', async (t, d) => {
  await d.ok('run', '-d', '--name', 'victim', 'busybox', 'sleep', '600')
  const { code, stdout } = await d.docker('exec', 'victim', 'sh', '-c', 'yes & exit 7')
  t.is(code, 7)
  t.true(stdout.length < 4 << 20)
})
