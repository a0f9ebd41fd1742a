import test from 'ava'
import { needs } from '../fixtures/root.js'
import { FieldRunner } from './spec-fields.js'

const field = needs('root', 'overlay', 'busybox')
let runner: FieldRunner
test.before(() => {
  runner = new FieldRunner()
})
test.after.always(() => runner.remove())

field('field ContainerConfig.Hostname is the kernel name of the host', async (t) => {
  t.is((await runner.run('hostname; echo $HOSTNAME', { config: { Hostname: 'abc' } })).output, 'abc\nabc\n')
})

field('field ContainerConfig.Domainname is set in the UTS namespace', async (t) => {
  t.is((await runner.run('cat /proc/sys/kernel/domainname', { config: { Domainname: 'example.test' } })).output, 'example.test\n')
})

field('field ContainerConfig.User decides user, groups and home', async (t) => {
  const ids = async (User: string) => (await runner.run('id -u; id -g; id -G; echo $HOME', { config: { User } })).output.trim().split('\n')
  t.deepEqual(await ids(''), ['0', '0', '0', '/root'])
  t.deepEqual(await ids('daemon'), ['1', '1', '1 29', '/usr/sbin'])
  t.deepEqual(await ids('1'), ['1', '1', '1 29', '/usr/sbin'])
  t.deepEqual(await ids('daemon:audio'), ['1', '29', '29', '/usr/sbin'])
  t.deepEqual(await ids('1234:5678'), ['1234', '5678', '5678', '/'])
  await t.throwsAsync(runner.run('true', { config: { User: 'nosuch' } }), {
    message: /unable to find user nosuch: no matching entries in passwd file/,
  })
  await t.throwsAsync(runner.run('true', { config: { User: 'root:nosuch' } }), { message: /unable to find group nosuch/ })
})

field('field HostConfig.GroupAdd adds groups by name and number', async (t) => {
  t.is((await runner.run('id -G', { config: { User: 'nobody' }, host: { GroupAdd: ['audio', '777'] } })).output, '65534 29 777\n')
  await t.throwsAsync(runner.run('true', { host: { GroupAdd: ['nosuch'] } }), { message: /unable to find group nosuch/ })
})

field('field ContainerConfig.Tty gives a terminal', async (t) => {
  const { output } = await runner.run('tty; echo $TERM; ls -l /dev/console | cut -c1', { terminal: true })
  t.regex(output, /^\/dev\/(pts\/0|console)\r\nxterm\r\nc\r\n$/)
  t.regex((await runner.run('tty')).output, /not a tty/)
})

field('field HostConfig.ConsoleSize is the first size of the terminal', async (t) => {
  const container = await runner.machine.container(
    'console-size',
    { args: ['true'], terminal: true, host: { ConsoleSize: [11, 33] } },
    false,
  )
  t.deepEqual(container.spec.process.consoleSize, { height: 11, width: 33 })
  t.is((await runner.run('stty size', { terminal: true })).output, '24 80\r\n')
})

field('field ContainerConfig.OpenStdin keeps standard input open', async (t) => {
  const { finished, input } = await runner.start({ args: ['cat'], openStdin: true })
  await input('kept\n')
  t.is((await finished).output, 'kept\n')
  t.is((await runner.run('cat; echo end')).output, 'end\n')
})

field('field ContainerConfig.Env is the environment, over the defaults', async (t) => {
  const { output } = await runner.run('env', { config: { Env: ['A=1', 'B=x=y', 'PATH=/bin', 'A=2', 'HOSTNAME'] } })
  const lines = output.trim().split('\n')
  t.true(lines.includes('A=2') && lines.includes('B=x=y') && lines.includes('PATH=/bin') && lines.includes('HOME=/root'), output)
  t.false(lines.some((line) => line.startsWith('HOSTNAME=')))
})

field('field ContainerConfig.Cmd follows the entrypoint', async (t) => {
  t.is((await runner.run('', { args: ['echo', 'a b', 'c'] })).output, 'a b c\n')
})

field('field ContainerConfig.Entrypoint is the program', async (t) => {
  t.is((await runner.run('', { args: ['one', 'two'], config: { Entrypoint: ['echo', 'zero'] } })).output, 'zero one two\n')
})

field('field ContainerConfig.WorkingDir is entered, and made if missing', async (t) => {
  t.is((await runner.run('pwd; ls -ld . | cut -c1-10', { config: { WorkingDir: '/deep/er' } })).output, '/deep/er\ndrwxr-xr-x\n')
  t.is((await runner.run('pwd', { config: { WorkingDir: '/made/here' }, host: { ReadonlyRootfs: true } })).output, '/made/here\n')
})

field("a program that is missing, or may not be run, is named in Docker's words", async (t) => {
  await t.throwsAsync(runner.run('', { args: ['nosuch'] }), { message: /exec: "nosuch": executable file not found in \$PATH/ })
  await t.throwsAsync(runner.run('', { args: ['/etc'] }), { message: /exec: "\/etc": is a directory/ })
  await t.throwsAsync(runner.run('', { args: ['/etc/passwd'] }), { message: /exec: "\/etc\/passwd": permission denied/ })
  await t.throwsAsync(runner.run('', { args: ['/no/such'] }), { message: /exec: "\/no\/such": stat \/no\/such: no such file or directory/ })
})
