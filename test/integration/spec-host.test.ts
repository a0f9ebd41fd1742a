import fs from 'node:fs'
import test from 'ava'
import type { HostConfig } from '../../core/schema/engine-api.js'
import { needs } from '../fixtures/root.js'
import { FieldRunner } from './spec-fields.js'

const field = needs('root', 'overlay', 'busybox')
let runner: FieldRunner
test.before(() => {
  runner = new FieldRunner()
})
test.after.always(() => runner.remove())

const output = async (script: string, host: HostConfig = {}) => (await runner.run(script, { host })).output

const CHOWN = 1n << 0n
const NET_RAW = 1n << 13n
const SYS_ADMIN = 1n << 21n

async function capabilities(host: HostConfig): Promise<bigint> {
  const text = await output('grep -E "Cap(Prm|Eff|Bnd)" /proc/self/status', host)
  const masks = [...text.matchAll(/Cap\w+:\t([0-9a-f]+)/g)].map(([, mask]) => BigInt(`0x${mask}`))
  if (masks.length !== 3 || new Set(masks).size !== 1) throw new Error(text)
  return masks[0] ?? 0n
}

field('field HostConfig.CapAdd gives capabilities', async (t) => {
  const mask = await capabilities({ CapAdd: ['sys_admin'] })
  t.is(mask & (SYS_ADMIN | CHOWN), SYS_ADMIN | CHOWN)
  t.is((await capabilities({})).toString(16), 'a80425fb')
})

field('field HostConfig.CapDrop takes capabilities away', async (t) => {
  const mask = await capabilities({ CapDrop: ['CAP_NET_RAW'] })
  t.is(mask & (NET_RAW | CHOWN), CHOWN)
  t.is(await capabilities({ CapDrop: ['ALL'] }), 0n)
  t.is(await capabilities({ CapDrop: ['ALL'], CapAdd: ['CHOWN'] }), CHOWN)
})

field('field HostConfig.Privileged gives all that the daemon holds', async (t) => {
  const held = BigInt(`0x${/CapEff:\t([0-9a-f]+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''}`)
  t.is(await capabilities({ Privileged: true }), held)
  const text = await output(
    'grep Seccomp: /proc/self/status; test -w /sys/fs/cgroup/pids/tasks && echo 1 > /sys/fs/cgroup/pids/cgroup.clone_children; : < /dev/loop0 && echo opened; mount | grep -c "on /proc/"',
    {
      Privileged: true,
    },
  )
  t.regex(text, /^Seccomp:\t0\n/)
  t.regex(text, /\n0\n$/)
  if (fs.existsSync('/dev/loop0')) t.regex(text, /\nopened\n/)
})

field('field HostConfig.SecurityOpt: no-new-privileges and seccomp', async (t) => {
  const status = (SecurityOpt: string[]) =>
    output('grep -E "NoNewPrivs|Seccomp:" /proc/self/status | cut -f2 | tr "\\n" " "', { SecurityOpt })
  t.is(await status([]), '0 2 ')
  t.is(await status(['no-new-privileges']), '1 2 ')
  t.is(await status(['seccomp=unconfined']), '0 0 ')
  t.is(await status(['seccomp=builtin', 'no-new-privileges:false']), '0 2 ')
  const profile = JSON.stringify({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 }],
  })
  t.regex(await output('mkdir /tmp/x', { SecurityOpt: [`seccomp=${profile}`] }), /not supported/)
  // The default profile: no namespaces, no mounts; what is newer than it does not exist.
  t.regex(await output('unshare -U true'), /not permitted/)
})

field('field HostConfig.ReadonlyRootfs closes the root alone', async (t) => {
  const text = await output('touch /x; touch /dev/shm/y && echo shm', { ReadonlyRootfs: true })
  t.regex(text, /Read-only file system[^]*shm\n/)
})

field('field HostConfig.MaskedPaths hides files and directories', async (t) => {
  t.is(await output('wc -c < /proc/keys; ls /proc/acpi /sys/firmware | grep -v :', {}), '0\n\n')
  t.not(await output('wc -c < /proc/timer_list; wc -c < /proc/version', { MaskedPaths: ['/proc/version'] }), '0\n0\n')
  t.is(await output('wc -c < /proc/version', { MaskedPaths: ['/proc/version', '/not/there'] }), '0\n')
})

field('field HostConfig.ReadonlyPaths cannot be written', async (t) => {
  t.regex(await output('echo 1 > /proc/sys/kernel/domainname'), /Read-only/)
  t.regex(await output('touch /tmp/x', { ReadonlyPaths: ['/tmp'] }), /Read-only/)
})

field('field HostConfig.Sysctls are set in the namespaces of the container', async (t) => {
  const script = 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start'
  t.is(await output(script, { Sysctls: { 'net.ipv4.ip_forward': '1', 'kernel.msgmax': '4096' } }), '1\n4096\n0\n')
  t.is(fs.readFileSync('/proc/sys/kernel/msgmax', 'utf8'), '8192\n')
})

field('field HostConfig.ShmSize is the size of /dev/shm', async (t) => {
  const size = (host: HostConfig) => output("df -k /dev/shm | tail -1 | awk '{print $2}'", host)
  t.is(await size({}), '65536\n')
  t.is(await size({ ShmSize: 8 << 20 }), '8192\n')
})

field('field HostConfig.Tmpfs mounts a tmpfs with its options', async (t) => {
  const text = await output('grep " /scratch " /proc/mounts', { Tmpfs: { '/scratch': 'size=4m,mode=700,exec' } })
  t.regex(text, /^tmpfs \/scratch tmpfs rw,nosuid,nodev,relatime,size=4096k,mode=700/)
  t.regex(await output('grep " /scratch " /proc/mounts', { Tmpfs: { '/scratch': '' } }), /rw,nosuid,nodev,noexec/)
})

field('field HostConfig.OomScoreAdj is the score of the process', async (t) => {
  t.is(await output('cat /proc/self/oom_score_adj', { OomScoreAdj: 321 }), '321\n')
})

const namespaceOf = (type: string) => fs.readlinkSync(`/proc/self/ns/${type}`)

field('field HostConfig.PidMode shares or separates processes', async (t) => {
  t.is(await output('readlink /proc/self/ns/pid', { PidMode: 'host' }), `${namespaceOf('pid')}\n`)
  t.is(await output('echo $$'), '1\n')
})

field('field HostConfig.IpcMode shares or separates System V objects and /dev/shm', async (t) => {
  t.is(await output('readlink /proc/self/ns/ipc', { IpcMode: 'host' }), `${namespaceOf('ipc')}\n`)
  t.not(await output('readlink /proc/self/ns/ipc', { IpcMode: 'private' }), `${namespaceOf('ipc')}\n`)
  t.is(await output('grep -c " /dev/shm " /proc/mounts', { IpcMode: 'none' }), '0\n')
  const file = `/dev/shm/tsd-field-${process.pid}`
  fs.writeFileSync(file, 'shared')
  t.is(await output(`cat ${file}`, { IpcMode: 'host' }), 'shared')
  fs.rmSync(file)
})

field('field HostConfig.UTSMode shares or separates the hostname', async (t) => {
  t.is(await output('readlink /proc/self/ns/uts', { UTSMode: 'host' }), `${namespaceOf('uts')}\n`)
  t.not(await output('readlink /proc/self/ns/uts'), `${namespaceOf('uts')}\n`)
})

field('field HostConfig.NetworkMode: host and none', async (t) => {
  t.is(await output('readlink /proc/self/ns/net', { NetworkMode: 'host' }), `${namespaceOf('net')}\n`)
  t.regex(await output('ip -o link; ip -o addr show lo', { NetworkMode: 'none' }), /^1: lo: <LOOPBACK,UP[^\n]*\n1: lo\s+inet 127\.0\.0\.1/)
})

field('field HostConfig.CgroupnsMode: the container sees its own group as the root', async (t) => {
  const text = await output('grep memory /proc/self/cgroup; cat /sys/fs/cgroup/memory/memory.limit_in_bytes', {
    CgroupnsMode: 'private',
    Memory: 32 << 20,
  })
  t.regex(text, new RegExp(`:memory:/\n${32 << 20}\n$`))
  t.regex(await output('grep memory /proc/self/cgroup', { CgroupnsMode: 'host' }), /:memory:\/tsd-exec-/)
})

field('field HostConfig.Annotations are handed to the runtime', async (t) => {
  const container = await runner.machine.container('annotations', { args: ['true'], host: { Annotations: { 'org.example': 'x' } } }, false)
  t.deepEqual(container.spec.annotations, { 'org.example': 'x' })
})

field('binds: files, directories, read-only with what is mounted below, propagation', async (t) => {
  const source = fs.mkdtempSync(`${runner.machine.dir}/bind-`)
  fs.mkdirSync(`${source}/dir`)
  fs.writeFileSync(`${source}/file`, 'content')
  const { output: text } = await runner.run(
    'cat /new/place/file; echo more >> /new/place/file; touch /ro/x; touch /ro/dir/y; grep " /ro " /proc/self/mountinfo | cut -d" " -f7',
    {
      mounts: [
        { type: 'bind', source: `${source}/file`, destination: '/new/place/file', readonly: false },
        { type: 'bind', source, destination: '/ro', readonly: true, propagation: 'rslave' },
      ],
    },
  )
  t.regex(text, /^content[^]*Read-only[^]*Read-only/)
  t.is(fs.readFileSync(`${source}/file`, 'utf8'), 'contentmore\n')
})

field('a link in the image leads no mount out of the container', async (t) => {
  const { rootfs } = runner.machine
  fs.symlinkSync('/../../../../../../etc', `${rootfs}/escape`)
  t.teardown(() => fs.rmSync(`${rootfs}/escape`))
  const source = fs.mkdtempSync(`${runner.machine.dir}/bind-`)
  const { output: text } = await runner.run('ls -d /etc/made', {
    mounts: [{ type: 'bind', source, destination: '/escape/made', readonly: false }],
  })
  t.is(text, '/etc/made\n')
  t.false(fs.existsSync('/etc/made'))
  await t.throwsAsync(runner.run('true', { mounts: [{ type: 'bind', source, destination: '/proc/self', readonly: false }] }), {
    message: /inside \/proc/,
  })
})
