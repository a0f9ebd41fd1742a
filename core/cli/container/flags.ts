// The flags that `run` and `create` share, with the checks that Docker makes while it reads them.
import { isIP } from 'node:net'
import { parseBinarySize } from '../../base/sizes.js'
import { parseDuration } from '../../base/duration.js'
import { flag } from '../flags.js'
import type { Flag } from '../flags.js'
import { parseGpus, parseThrottle, parseWeight } from './devices.js'
import { parseMount } from './mounts.js'
import { parseNetwork } from './networks.js'
import { parseUlimit } from './resources.js'
import { messageOf } from '../status.js'

/** Turns a parser that throws into a flag's check. */
export const valid =
  (parse: (value: string) => unknown) =>
  (value: string): string | undefined => {
    try {
      parse(value)
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

const bytes = valid((value) => parseBinarySize(value))
const swap = (value: string) => (value === '-1' ? undefined : bytes(value))
const duration = valid((value) => parseDuration(value))
const between = (low: number, high: number) => (value: string) =>
  /^\d+$/.test(value) && Number(value) >= low && Number(value) <= high
    ? undefined
    : `strconv.ParseUint: parsing ${JSON.stringify(value)}: ${/^\d+$/.test(value) ? 'value out of range' : 'invalid syntax'}`

const decimal = (value: string) => {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(value)) return `failed to parse ${value} as a rational number`
  return /\.\d{10,}/.test(value) ? 'value is too precise' : undefined
}
const stream = (value: string) =>
  ['stdin', 'stdout', 'stderr'].includes(value.toLowerCase()) ? undefined : 'valid streams are STDIN, STDOUT and STDERR'
const env = (value: string) => (value.startsWith('=') ? `invalid environment variable: ${value}` : undefined)
const label = (value: string) => (value.startsWith('=') ? `invalid label format: ${JSON.stringify(value)}` : undefined)
const dns = (value: string) => (isIP(value.trim()) ? undefined : `IP address is not correctly formatted: ${value}`)
const cgroupRule = (value: string) =>
  /^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(value) ? undefined : `invalid device cgroup format '${value}'`

function extraHost(value: string): string | undefined {
  const [, host = '', address = ''] = /^([^=:]*)[=:]([^]*)$/.exec(value) ?? []
  if (host === '' || address === '') return `bad format for add-host: ${JSON.stringify(value)}`
  const bare = address.replace(/^\[(.*)\]$/, '$1')
  return address === 'host-gateway' || isIP(bare) ? undefined : `invalid IP address in add-host: ${JSON.stringify(address)}`
}

const sysctls = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]
function sysctl(value: string): string | undefined {
  const [name = ''] = value.split('=')
  const allowed = value.includes('=') && (sysctls.includes(name) || name.startsWith('net.') || name.startsWith('fs.mqueue.'))
  return allowed ? undefined : `sysctl '${value}' is not allowed`
}

const windows = 'it exists on Windows engines only'

export const containerFlags: readonly Flag[] = [
  flag('list', 'add-host', 'Add a custom host-to-IP mapping (host:ip)', { check: extraHost }),
  flag('map', 'annotation', 'Add an annotation to the container (passed through to the OCI runtime)'),
  flag('list', 'a,attach', 'Attach to STDIN, STDOUT or STDERR', { check: stream }),
  flag('uint', 'blkio-weight', 'Block IO (relative weight), between 10 and 1000, or 0 to disable', {
    check: between(0, 65535),
    value: 'uint16',
  }),
  flag('list', 'blkio-weight-device', 'Block IO weight (relative device weight)', { check: valid(parseWeight) }),
  flag('list', 'cap-add', 'Add Linux capabilities'),
  flag('list', 'cap-drop', 'Drop Linux capabilities'),
  flag('string', 'cgroup-parent', 'Optional parent cgroup for the container'),
  flag(
    'string',
    'cgroupns',
    "Cgroup namespace to use (host|private)\n'host':    Run the container in the host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use what the engine's default says (default)",
  ),
  flag('string', 'cidfile', 'Write the container ID to the file'),
  flag('int', 'cpu-count', 'CPU count (Windows only)', { refused: windows, hidden: true }),
  flag('int', 'cpu-percent', 'CPU percent (Windows only)', { refused: windows, hidden: true }),
  flag('int', 'cpu-period', 'Limit CPU CFS (Completely Fair Scheduler) period'),
  flag('int', 'cpu-quota', 'Limit CPU CFS (Completely Fair Scheduler) quota'),
  flag('int', 'cpu-rt-period', 'Limit CPU real-time period in microseconds'),
  flag('int', 'cpu-rt-runtime', 'Limit CPU real-time runtime in microseconds'),
  flag('int', 'c,cpu-shares', 'CPU shares (relative weight)'),
  flag('decimal', 'cpus', 'Number of CPUs', { check: decimal }),
  flag('string', 'cpuset-cpus', 'CPUs in which to allow execution (0-3, 0,1)'),
  flag('string', 'cpuset-mems', 'MEMs in which to allow execution (0-3, 0,1)'),
  flag('list', 'device', 'Add a host device to the container'),
  flag('list', 'device-cgroup-rule', 'Add a rule to the cgroup allowed devices list', { check: cgroupRule }),
  flag('list', 'device-read-bps', 'Limit read rate (bytes per second) from a device', { check: valid((v) => parseThrottle(v, true)) }),
  flag('list', 'device-read-iops', 'Limit read rate (IO per second) from a device', { check: valid((v) => parseThrottle(v, false)) }),
  flag('list', 'device-write-bps', 'Limit write rate (bytes per second) to a device', { check: valid((v) => parseThrottle(v, true)) }),
  flag('list', 'device-write-iops', 'Limit write rate (IO per second) to a device', { check: valid((v) => parseThrottle(v, false)) }),
  flag('bool', 'disable-content-trust', 'Skip image verification; there is none to skip', { default: 'true', hidden: true }),
  flag('list', 'dns', 'Set custom DNS servers', { check: dns }),
  flag('list', 'dns-option', 'Set DNS options'),
  flag('list', 'dns-opt', 'Set DNS options', { hidden: true }),
  flag('list', 'dns-search', 'Set custom DNS search domains'),
  flag('string', 'domainname', 'Container NIS domain name'),
  flag('string', 'entrypoint', 'Overwrite the default ENTRYPOINT of the image'),
  flag('list', 'e,env', 'Set environment variables', { check: env }),
  flag('list', 'env-file', 'Read in a file of environment variables'),
  flag('list', 'expose', 'Expose a port or a range of ports'),
  flag('string', 'gpus', "GPU devices to add to the container ('all' to pass all GPUs)", { value: 'gpu-request', check: valid(parseGpus) }),
  flag('list', 'group-add', 'Add additional groups to join'),
  flag('string', 'health-cmd', 'Command to run to check health'),
  flag('duration', 'health-interval', 'Time between running the check (ms|s|m|h) (default 0s)', { check: duration }),
  flag('int', 'health-retries', 'Consecutive failures needed to report unhealthy'),
  flag('duration', 'health-start-interval', 'Time between running the check during the start period (ms|s|m|h) (default 0s)', {
    check: duration,
  }),
  flag(
    'duration',
    'health-start-period',
    'Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)',
    { check: duration },
  ),
  flag('duration', 'health-timeout', 'Maximum time to allow one check to run (ms|s|m|h) (default 0s)', { check: duration }),
  flag('bool', 'help', 'Print usage'),
  flag('string', 'h,hostname', 'Container host name'),
  flag('bool', 'init', 'Run an init inside the container that forwards signals and reaps processes'),
  flag('bool', 'i,interactive', 'Keep STDIN open even if not attached'),
  flag('bytes', 'io-maxbandwidth', 'Maximum IO bandwidth limit for the system drive (Windows only)', { refused: windows, hidden: true }),
  flag('uint', 'io-maxiops', 'Maximum IOps limit for the system drive (Windows only)', { refused: windows, hidden: true }),
  flag('string', 'ip', 'IPv4 address (e.g., 172.30.100.104)'),
  flag('string', 'ip6', 'IPv6 address (e.g., 2001:db8::33)'),
  flag('string', 'ipc', 'IPC mode to use'),
  flag('string', 'isolation', 'Container isolation technology'),
  flag('bytes', 'kernel-memory', 'Kernel memory limit', { refused: 'the kernel removed it; limit memory with --memory' }),
  flag('list', 'l,label', 'Set meta data on a container', { check: label }),
  flag('list', 'label-file', 'Read in a line delimited file of labels'),
  flag('list', 'link', 'Add link to another container'),
  flag('list', 'link-local-ip', 'Container IPv4/IPv6 link-local addresses'),
  flag('string', 'log-driver', 'Logging driver for the container'),
  flag('list', 'log-opt', 'Log driver options'),
  flag('string', 'mac-address', 'Container MAC address (e.g., 92:d0:c6:0a:29:33)'),
  flag('bytes', 'm,memory', 'Memory limit', { check: bytes }),
  flag('bytes', 'memory-reservation', 'Memory soft limit', { check: bytes }),
  flag('bytes', 'memory-swap', "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", { check: swap }),
  flag('int', 'memory-swappiness', 'Tune container memory swappiness (0 to 100)', { default: '-1' }),
  flag('list', 'mount', 'Attach a filesystem mount to the container', { value: 'mount', check: valid((v) => parseMount(v)) }),
  flag('string', 'name', 'Assign a name to the container'),
  flag('list', 'network', 'Connect a container to a network', { value: 'network', check: valid(parseNetwork) }),
  flag('list', 'net', 'Connect a container to a network', { value: 'network', hidden: true, check: valid(parseNetwork) }),
  flag('list', 'network-alias', 'Add network-scoped alias for the container'),
  flag('list', 'net-alias', 'Add network-scoped alias for the container', { hidden: true }),
  flag('bool', 'no-healthcheck', 'Disable any container-specified HEALTHCHECK'),
  flag('bool', 'oom-kill-disable', 'Disable OOM Killer'),
  flag('int', 'oom-score-adj', "Tune host's OOM preferences (-1000 to 1000)"),
  flag('string', 'pid', 'PID namespace to use'),
  flag('int', 'pids-limit', 'Tune container pids limit (set -1 for unlimited)'),
  flag('string', 'platform', 'Set platform if server is multi-platform capable'),
  flag('bool', 'privileged', 'Give extended privileges to this container'),
  flag('list', 'p,publish', "Publish a container's port(s) to the host"),
  flag('bool', 'P,publish-all', 'Publish all exposed ports to random ports'),
  flag('string', 'pull', 'Pull image before running ("always", "missing", "never")', { default: 'missing' }),
  flag('bool', 'q,quiet', 'Suppress the pull output'),
  flag('bool', 'read-only', "Mount the container's root filesystem as read only"),
  flag('string', 'restart', 'Restart policy to apply when a container exits', { default: 'no' }),
  flag('bool', 'rm', 'Automatically remove the container and its associated anonymous volumes when it exits'),
  flag('string', 'runtime', 'Runtime to use for this container'),
  flag('list', 'security-opt', 'Security Options'),
  flag('bytes', 'shm-size', 'Size of /dev/shm', { check: bytes }),
  flag('string', 'stop-signal', 'Signal to stop the container'),
  flag('int', 'stop-timeout', 'Timeout (in seconds) to stop a container'),
  flag('list', 'storage-opt', 'Storage driver options for the container'),
  flag('list', 'sysctl', 'Sysctl options', { value: 'map', check: sysctl }),
  flag('list', 'tmpfs', 'Mount a tmpfs directory'),
  flag('bool', 't,tty', 'Allocate a pseudo-TTY'),
  flag('list', 'ulimit', 'Ulimit options', { value: 'ulimit', check: valid(parseUlimit) }),
  flag('bool', 'use-api-socket', 'Bind mount Docker API socket and required auth', { refused: 'mount the socket with -v', hidden: true }),
  flag('string', 'u,user', 'Username or UID (format: <name|uid>[:<group|gid>])'),
  flag('string', 'userns', 'User namespace to use'),
  flag('string', 'uts', 'UTS namespace to use'),
  flag('list', 'v,volume', 'Bind mount a volume'),
  flag('string', 'volume-driver', 'Optional volume driver for the container'),
  flag('list', 'volumes-from', 'Mount volumes from the specified container(s)'),
  flag('string', 'w,workdir', 'Working directory inside the container'),
]
