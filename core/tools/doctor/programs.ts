import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Finding, Machine } from './finding.js'
import { finding, yes } from './finding.js'

const shim = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../native/shim/tsd-shim')

export function programFindings(machine: Machine): Finding[] {
  return [helper(machine), compiler(machine), libseccomp(machine), ...runtimes(machine), engine(machine)]
}

function helper(machine: Machine): Finding {
  const there = machine.exists(shim)
  return finding(
    'container helper',
    'exec native, shims of every runtime',
    yes(there),
    there ? `${shim}, ${Math.round(fs.statSync(shim).size / 1024)} kB` : `${shim} is not built`,
    'npm run build (needs a C compiler)',
    true,
  )
}

function compiler(machine: Machine): Finding {
  const musl = machine.program('musl-gcc')
  const other = ['cc', 'gcc', 'clang'].map((name) => machine.program(name)).find((file) => file !== undefined)
  const found = musl ?? other
  const detail = musl
    ? `${musl}: small helper`
    : other
      ? `${other}: works, and makes a helper of 800 kB; musl-gcc makes 40`
      : 'no musl-gcc, cc, gcc or clang'
  return finding('C compiler', 'building from a checkout', yes(found !== undefined), detail, 'apt-get install musl-tools')
}

function libseccomp(machine: Machine): Finding {
  const dirs = [
    '/usr/lib',
    '/lib',
    '/usr/lib64',
    '/lib64',
    '/usr/local/lib',
    ...machine
      .list('/usr/lib')
      .filter((d) => d.includes('-linux-'))
      .map((d) => `/usr/lib/${d}`),
  ]
  const file = dirs
    .flatMap((dir) => ['libseccomp.so.2', 'libseccomp.so'].map((name) => `${dir}/${name}`))
    .find((candidate) => machine.exists(candidate))
  return finding(
    'libseccomp',
    'exec native: seccomp profiles',
    yes(file !== undefined),
    file ?? 'libseccomp.so.2 not found',
    'apt-get install libseccomp2, or --security-opt seccomp=unconfined',
  )
}

function runtimes(machine: Machine): Finding[] {
  const hybrid = machine.exists('/sys/fs/cgroup/unified') || machine.exists('/sys/fs/cgroup/memory')
  return [
    { name: 'runc', driver: 'exec oci (--runtime runc)', flag: '--version', install: 'apt-get install runc' },
    { name: 'crun', driver: 'exec oci (--runtime crun)', flag: '--version', install: 'apt-get install crun' },
    { name: 'lxc-start', driver: 'exec lxc', flag: '--version', install: 'apt-get install lxc' },
  ].map(({ name, driver, flag, install }) => {
    const file = machine.program(name)
    if (!file) return finding(name, driver, 'missing', 'not found; the native driver needs none', install)
    const [first = ''] = machine.run(file, [flag]).output.split('\n')
    const old = name === 'crun' && hybrid && /1\.8\.1\b/.test(first)
    return finding(
      name,
      driver,
      old ? 'unproven' : 'works',
      `${file} ${first.replace(/^\w+ version /, '')}${old ? '; this version refuses hybrid cgroups' : ''}`,
      'use runc, or a newer crun',
    )
  })
}

/** A socket file alone says nothing: somebody must listen. */
function engine(machine: Machine): Finding {
  const socket = '/run/tsd/tsd.sock'
  const listening = (machine.read('/proc/net/unix') ?? '').split('\n').some((line) => / \/run\/tsd\/tsd\.sock(\.\d+)?$/.test(line))
  const detail = listening ? `listens on ${socket}` : machine.exists(socket) ? `${socket} is left over; nobody listens` : 'not running'
  return finding('engine', 'clients', listening ? 'works' : 'unproven', detail, "'tsd daemon', or any 'tsd run' as root, starts one")
}
