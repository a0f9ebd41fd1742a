import test from 'ava'
import type { ContainerConfig, HostConfig } from '../../../schema/engine-api.js'
import { categoryOf, messageOf } from '../../../sdk/errors.js'
import type { HostFacts } from './input.js'
import { validateContainer } from './validate.js'

const facts: HostFacts = {
  cgroupVersion: 1,
  capabilities: [],
  architecture: 'amd64',
  kernel: [6, 1],
  cpus: 2,
  cpusetCpus: '0-1',
  cpusetMems: '0',
  apparmor: false,
  swapLimit: true,
  oomControl: true,
  blockWeight: true,
  cpuRealtime: false,
  hugepageSizes: [],
}

const MB = 1 << 20

const refused: [host: HostConfig, message: string, config?: ContainerConfig][] = [
  [{}, 'no command specified', { Cmd: [] }],
  [{}, "the working directory 'x' is invalid, it needs to be an absolute path", { WorkingDir: 'x' }],
  [{}, 'Invalid signal: NOSIG', { StopSignal: 'NOSIG' }],
  [{}, 'invalid environment variable: =x', { Env: ['=x'] }],
  [{ Memory: 5 * MB }, 'Minimum memory limit allowed is 6MB'],
  [{ Memory: 8 * MB, MemorySwap: 7 * MB }, 'Minimum memoryswap limit should be larger than memory limit, see usage'],
  [{ MemorySwap: 7 * MB }, 'You should always set the Memory limit when using Memoryswap limit, see usage'],
  [{ MemorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
  [{ Memory: 8 * MB, MemoryReservation: 9 * MB }, 'Minimum memory limit can not be less than memory reservation limit, see usage'],
  [{ NanoCpus: 3e9 }, 'range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available'],
  [{ NanoCpus: 1e9, CpuPeriod: 1000 }, 'Conflicting options: Nano CPUs and CPU Period cannot both be set.'],
  [{ CpuPeriod: 10 }, 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'],
  [{ CpuQuota: 10 }, 'CPU cfs quota can not be less than 1ms (i.e. 1000)'],
  [{ CpusetCpus: 'x' }, 'Invalid value x for cpuset cpus'],
  [{ CpusetCpus: '0-3' }, 'Requested CPUs are not available - requested 0-3, available: 0-1'],
  [{ BlkioWeight: 5 }, 'Range of blkio weight is from 10 to 1000'],
  [{ OomScoreAdj: 1001 }, 'Invalid value 1001, range for oom score adj is [-1000, 1000]'],
  [{ ShmSize: -1 }, 'SHM size can not be less than 0'],
  [{ IpcMode: 'x' }, 'invalid IPC mode: x'],
  [{ PidMode: 'x' }, 'invalid PID mode: x'],
  [{ UTSMode: 'x' }, 'invalid UTS mode: x'],
  [{ UTSMode: 'host' }, 'conflicting options: hostname and the UTS mode', { Hostname: 'x' }],
  [{ NetworkMode: 'container:' }, 'invalid container format container:<name|id>'],
  [{ NetworkMode: 'container:x' }, 'conflicting options: hostname and the network mode', { Hostname: 'x' }],
  [{ NetworkMode: 'container:x', Dns: ['1.1.1.1'] }, 'conflicting options: dns and the network mode'],
  [{ NetworkMode: 'container:x', ExtraHosts: ['a:1.1.1.1'] }, 'conflicting options: custom host-to-IP mapping and the network mode'],
  [{ NetworkMode: 'container:x', PublishAllPorts: true }, 'conflicting options: port publishing and the container type network mode'],
  [{ Sysctls: { 'vm.swappiness': '1' } }, 'sysctl "vm.swappiness" is not in a separate kernel namespace'],
  [{ NetworkMode: 'host', Sysctls: { 'net.ipv4.ip_forward': '1' } }, 'sysctl "net.ipv4.ip_forward" not allowed in host network namespace'],
  [{ CapAdd: ['x'] }, 'invalid CapAdd: unknown capability: "CAP_X"'],
  [{ AutoRemove: true, RestartPolicy: { Name: 'always' } }, "can't create 'AutoRemove' container with restart policy"],
  [
    { RestartPolicy: { Name: 'always', MaximumRetryCount: 1 } },
    "invalid restart policy: maximum retry count can only be used with 'on-failure'",
  ],
  [{ ExtraHosts: ['x'] }, 'bad format for add-host: "x"'],
  [{ ExtraHosts: ['x:y'] }, 'invalid IP address in add-host: "y"'],
  [{ Ulimits: [{ Name: 'x', Soft: 1, Hard: 1 }] }, 'invalid ulimit type: x'],
  [{ Ulimits: [{ Name: 'nofile', Soft: 2, Hard: 1 }] }, 'ulimit soft limit must be less than or equal to hard limit: 2 > 1'],
  [{ DeviceCgroupRules: ['x'] }, "invalid device cgroup rule format: 'x'"],
  [{ Tmpfs: { '/x': 'nonsense' } }, 'invalid tmpfs option ["nonsense"]'],
  [{ CgroupParent: '/../x' }, 'invalid cgroup parent "/../x"'],
  [{ SecurityOpt: ['x'] }, 'invalid --security-opt 1: "x"'],
]

for (const [host, message, config] of refused)
  test(`refused: ${JSON.stringify({ ...host, ...config })}`, (t) => {
    const error = t.throws(() => validateContainer({ Cmd: ['true'], ...config }, host, facts))
    t.is(messageOf(error), message)
    t.is(categoryOf(error), 'InvalidParameter')
  })

test('what is fine passes, with warnings', (t) => {
  t.deepEqual(
    validateContainer({ Cmd: ['true'] }, { ExtraHosts: ['a:host-gateway', 'b:::1'], Memory: 8 * MB, CpusetCpus: '0,1' }, facts),
    [],
  )
  t.is(validateContainer({ Cmd: ['true'] }, { OomKillDisable: true }, facts).length, 1)
  t.is(validateContainer({ Cmd: ['true'] }, { Memory: 8 * MB }, { ...facts, swapLimit: false }).length, 1)
  const weights: HostConfig = { BlkioWeight: 300, BlkioWeightDevice: [{ Path: '/dev/a', Weight: 300 }] }
  t.deepEqual(validateContainer({ Cmd: ['true'] }, weights, facts), [])
  t.is(validateContainer({ Cmd: ['true'] }, weights, { ...facts, blockWeight: false }).length, 2)
  t.deepEqual(validateContainer({ Cmd: ['true'] }, { NetworkMode: 'host', PortBindings: { '80/tcp': [{ HostPort: '80' }] } }, facts), [
    'Published ports are discarded when using host network mode',
  ])
})
