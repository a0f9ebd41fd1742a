import fs from 'node:fs'
import test from 'ava'
import { needs } from '../fixtures/root.js'
import { FieldRunner } from './spec-fields.js'

const field = needs('root', 'overlay', 'busybox', 'cgroup-v1')
let runner: FieldRunner
test.before(() => {
  runner = new FieldRunner()
})
test.after.always(() => runner.remove())

const MB = 1 << 20

field('field Resources.Memory is the memory cgroup limit', async (t) => {
  t.is(await runner.cgroup('memory.limit_in_bytes', { host: { Memory: 32 * MB } }), String(32 * MB))
})

field('field Resources.MemorySwap is the limit of memory and swap together', async (t) => {
  const file = 'memory.memsw.limit_in_bytes'
  t.is(await runner.cgroup(file, { host: { Memory: 32 * MB, MemorySwap: 48 * MB } }), String(48 * MB))
  t.is(await runner.cgroup(file, { host: { Memory: 32 * MB } }), String(64 * MB))
  t.true(Number(await runner.cgroup(file, { host: { Memory: 32 * MB, MemorySwap: -1 } })) > 2 ** 60)
})

field('field Resources.MemoryReservation is the soft limit', async (t) => {
  t.is(await runner.cgroup('memory.soft_limit_in_bytes', { host: { MemoryReservation: 16 * MB } }), String(16 * MB))
})

field('field Resources.MemorySwappiness is set, 0 included', async (t) => {
  t.is(await runner.cgroup('memory.swappiness', { host: { MemorySwappiness: 17 } }), '17')
  t.is(await runner.cgroup('memory.swappiness', { host: { MemorySwappiness: 0 } }), '0')
})

field('field Resources.KernelMemoryTCP limits socket buffers', async (t) => {
  t.is(await runner.cgroup('memory.kmem.tcp.limit_in_bytes', { host: { KernelMemoryTCP: 8 * MB } }), String(8 * MB))
})

field('field Resources.OomKillDisable turns the killer off', async (t) => {
  t.regex(await runner.cgroup('memory.oom_control', { host: { Memory: 32 * MB, OomKillDisable: true } }), /oom_kill_disable 1/)
})

field('field Resources.CpuShares is the weight', async (t) => {
  t.is(await runner.cgroup('cpu.shares', { host: { CpuShares: 321 } }), '321')
})

field('field Resources.CpuPeriod and quota are set together', async (t) => {
  t.is(await runner.cgroup('cpu.cfs_period_us', { host: { CpuPeriod: 50_000, CpuQuota: 20_000 } }), '50000')
})

field('field Resources.CpuQuota is the share of each period', async (t) => {
  t.is(await runner.cgroup('cpu.cfs_quota_us', { host: { CpuPeriod: 50_000, CpuQuota: 20_000 } }), '20000')
})

field('field Resources.NanoCpus is a quota of a tenth of a second', async (t) => {
  t.is(await runner.cgroup('cpu.cfs_quota_us', { host: { NanoCpus: 1.5e9 } }), '150000')
  t.is(await runner.cgroup('cpu.cfs_period_us', { host: { NanoCpus: 1.5e9 } }), '100000')
})

field('field Resources.CpusetCpus binds the container to processors', async (t) => {
  t.is((await runner.run('grep Cpus_allowed_list /proc/self/status', { host: { CpusetCpus: '0' } })).output, 'Cpus_allowed_list:\t0\n')
})

field('field Resources.CpusetMems binds the container to memory nodes', async (t) => {
  t.is(await runner.cgroup('cpuset.mems', { host: { CpusetMems: '0' } }), '0')
})

field('field Resources.PidsLimit ends what forks too much', async (t) => {
  t.is(await runner.cgroup('pids.max', { host: { PidsLimit: 12 } }), '12')
  t.is(await runner.cgroup('pids.max', { host: { PidsLimit: -1 } }), 'max')
  t.regex((await runner.run('for i in 1 2 3 4 5 6; do sleep 0.2 & done; wait', { host: { PidsLimit: 4 } })).output, /can't fork/)
})

field('field Resources.BlkioWeight is the weight of the group', async (t) => {
  const { output } = await runner.run('cat /sys/fs/cgroup/blkio/blkio*.weight', { host: { BlkioWeight: 300 } })
  t.true(output.includes('300'), output)
})

const disk = '/dev/loop0'

type Throttle = 'BlkioDeviceReadBps' | 'BlkioDeviceWriteBps' | 'BlkioDeviceReadIOps' | 'BlkioDeviceWriteIOps'

const throttle = (title: string, name: Throttle, file: string) =>
  field(title, async (t) => {
    t.is(await runner.cgroup(file, { host: { [name]: [{ Path: disk, Rate: 4096 }] } }), '7:0 4096')
  })

throttle('field Resources.BlkioDeviceReadBps limits bytes read', 'BlkioDeviceReadBps', 'blkio.throttle.read_bps_device')
throttle('field Resources.BlkioDeviceWriteBps limits bytes written', 'BlkioDeviceWriteBps', 'blkio.throttle.write_bps_device')
throttle('field Resources.BlkioDeviceReadIOps limits reads', 'BlkioDeviceReadIOps', 'blkio.throttle.read_iops_device')
throttle('field Resources.BlkioDeviceWriteIOps limits writes', 'BlkioDeviceWriteIOps', 'blkio.throttle.write_iops_device')

field('field Resources.BlkioWeightDevice weighs one device', async (t) => {
  const { output } = await runner.run('cat /sys/fs/cgroup/blkio/blkio*.weight_device', {
    host: { BlkioWeightDevice: [{ Path: disk, Weight: 400 }] },
  })
  const scheduler = fs.readFileSync('/sys/block/loop0/queue/scheduler', 'utf8')
  // Only the bfq scheduler keeps weights of devices; elsewhere the kernel takes the value and shows none.
  if (scheduler.includes('[bfq]')) t.true(output.includes('7:0 400'), output)
  else t.regex(output, /default|^$/)
})

field('field Resources.CgroupParent is where the group is made', async (t) => {
  const parent = `${runner.machine.cgroupParent}/own/parent`
  const { output } = await runner.run('cat /proc/self/cgroup', { host: { CgroupParent: parent } })
  t.regex(output, new RegExp(`:memory:${parent}/field-`))
  for (const controller of fs.readdirSync('/sys/fs/cgroup'))
    for (const group of [parent, parent.slice(0, -'/parent'.length)])
      if (fs.existsSync(`/sys/fs/cgroup/${controller}${group}`)) fs.rmdirSync(`/sys/fs/cgroup/${controller}${group}`)
})

field('field Resources.Ulimits are the limits of the process', async (t) => {
  const host = { Ulimits: [{ Name: 'nofile', Soft: 123, Hard: 456 }] }
  t.is((await runner.run('ulimit -Sn; ulimit -Hn', { host })).output, '123\n456\n')
  const defaults = { defaultUlimits: { nofile: { soft: 11, hard: 22 }, core: { soft: 0, hard: 0 } } }
  t.is((await runner.run('ulimit -Sn; ulimit -Sc', { host, defaults })).output, '123\n0\n')
})

field('field Resources.Devices makes the node and lets it be used', async (t) => {
  const host = { Devices: [{ PathOnHost: '/dev/loop0', PathInContainer: '/dev/inside/disk', CgroupPermissions: 'r' }] }
  const { output } = await runner.run(
    'stat -c "%F %t:%T" /dev/inside/disk; : < /dev/inside/disk && echo opened; : 2>&1 >> /dev/inside/disk || echo refused',
    { host },
  )
  t.regex(output, /^block special file 7:0\nopened\n[^]*not permitted/)
  await t.throwsAsync(runner.run('true', { host: { Devices: [{ PathOnHost: '/dev/nosuch' }] } }), {
    message: /error gathering device information while adding custom device "\/dev\/nosuch": no such file or directory/,
  })
})

field('field Resources.DeviceCgroupRules opens devices that have no node yet', async (t) => {
  const script = 'mknod /tmp/disk b 7 0; : < /tmp/disk && echo opened'
  t.regex((await runner.run(script)).output, /not permitted/)
  t.is((await runner.run(script, { host: { DeviceCgroupRules: ['b 7:0 r'] } })).output, 'opened\n')
})

field('a container without devices of its own reaches only the harmless ones', async (t) => {
  const { output } = await runner.run(
    'for d in null zero full random urandom tty; do test -c /dev/$d || echo $d; done; echo x > /dev/null; mknod /tmp/vda b 254 0; head -c1 /tmp/vda',
  )
  t.regex(output, /not permitted/)
})

field('field Resources.Init runs the command below an init that reaps, passes signals on and tells the exit status', async (t) => {
  const init = { host: { Init: true } }
  const names = await runner.run('tr "\\0" " " < /proc/1/cmdline; echo; echo $PPID; touch /sbin/docker-init', init)
  t.regex(names.output, /^\/sbin\/docker-init -- sh -c .*\n1\n.*Read-only file system/s)
  t.is((await runner.run('exit 7', init)).code, 7)
  t.is((await runner.run('kill -KILL $$', init)).code, 137)
  t.is((await runner.start({ args: ['no-such-program'], ...init }).then(({ finished }) => finished)).code, 127)
  const orphan = await runner.run(
    '(sh -c "sleep 0.1 & echo \\$!" > /tmp/pid); sleep 1; test -e /proc/$(cat /tmp/pid) && echo there; true',
    init,
  )
  t.deepEqual(orphan, { code: 0, signal: 0, output: '' })

  const trap = await runner.start({ args: ['sh', '-c', 'trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done'], ...init })
  await trap.said('ready')
  await runner.driver.kill(trap.id, 10)
  t.is((await trap.finished).code, 9)

  t.is(
    (await runner.run('cat /proc/1/comm', { host: { Init: true, PidMode: 'host' } })).output,
    (await fs.promises.readFile('/proc/1/comm')).toString(),
  )
  t.regex((await runner.run('cat /proc/1/cmdline', { defaults: { init: true } })).output, /docker-init/)
  t.notRegex((await runner.run('cat /proc/1/cmdline', { defaults: { init: true }, host: { Init: false } })).output, /docker-init/)
})

field('field Resources.Init gives the terminal to the command', async (t) => {
  const args = ['sh', '-c', 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.05; done']
  const shell = await runner.start({ args, host: { Init: true }, terminal: true, openStdin: true })
  await shell.said('ready')
  await shell.input('\x03')
  t.is((await shell.finished).code, 3)
})
