import test from 'ava'
import type { Finding, Machine } from './finding.js'
import { kernelFindings } from './kernel.js'
import { programFindings } from './programs.js'
import { blocked, json, table, verdict } from './report.js'
import { storageFindings } from './storage.js'

/** A machine of which only this is known. */
const machine = (known: {
  files?: Record<string, string>
  root?: boolean
  type?: number
  free?: number
  programs?: string[]
}): Machine => ({
  root: known.root ?? false,
  dataRoot: '/nonexistent/tsd',
  read: (file) => known.files?.[file],
  exists: (file) => known.files?.[file] !== undefined,
  list: () => [],
  fileSystem: (path) => ({
    path: '/',
    type: path === '/run' ? 0x01021994 : (known.type ?? 0xef53),
    free: known.free ?? 1e12,
    inodes: 1e6,
    freeInodes: 9e5,
  }),
  program: (name) => (known.programs?.includes(name) ? `/usr/bin/${name}` : undefined),
  run: () => ({ status: 0, output: `x version 1.2.3\n` }),
})

const of = (findings: readonly Finding[], check: string): Finding => findings.find((f) => f.check === check) as Finding

test('an old kernel is what every driver lacks', (t) => {
  const findings = kernelFindings(machine({ files: { '/proc/sys/kernel/osrelease': '4.19.0-27-amd64\n' } }))
  t.is(of(findings, 'kernel').status, 'missing')
  t.true(blocked(findings).some((f) => f.check === 'kernel'))
  t.regex(verdict(findings, false), /No container will run on this machine: kernel, .*\n.*sudo tsd doctor/)
})

test('capabilities that a VM took away are named', (t) => {
  const status = `CapEff:\t${(0x1ffffffffffn & ~(1n << 21n)).toString(16).padStart(16, '0')}\n`
  const root = of(kernelFindings(machine({ root: true, files: { '/proc/self/status': status } })), 'root')
  t.deepEqual([root.status, root.detail], ['missing', 'without CAP_SYS_ADMIN'])
})

test('overlay: not on overlay, not without the kernel, unproven without root', (t) => {
  const on = (known: Parameters<typeof machine>[0]) => of(storageFindings(machine(known)), 'overlay')
  const filesystems = { '/proc/filesystems': 'nodev\tsysfs\n\toverlay\n' }
  t.is(on({ type: 0x794c7630, files: filesystems }).status, 'missing')
  t.is(on({ files: {} }).status, 'missing')
  t.is(on({ files: filesystems }).status, 'unproven')
  t.regex(on({ files: {} }).wayOut, /vfs/)
})

test('a full disk', (t) => t.is(of(storageFindings(machine({ free: 5e8 })), 'disk space').status, 'missing'))

test('programs: found with their version, or the way to get them', (t) => {
  const findings = programFindings(machine({ programs: ['runc', 'gcc'] }))
  t.deepEqual([of(findings, 'runc').status, of(findings, 'runc').detail], ['works', '/usr/bin/runc 1.2.3'])
  t.is(of(findings, 'crun').wayOut, 'apt-get install crun')
  t.regex(of(findings, 'C compiler').detail, /^\/usr\/bin\/gcc/)
})

test('the table names check, status, driver and way out; json carries the same', (t) => {
  const findings: Finding[] = [
    { check: 'a', status: 'works', detail: 'fine', matters: 'graph', wayOut: '', required: true },
    { check: 'long name', status: 'missing', detail: 'not there', matters: 'network', wayOut: 'get it', required: false },
  ]
  t.is(
    table(findings),
    'CHECK       STATUS    MATTERS TO   DETAIL\na           works     graph        fine\nlong name   missing   network      not there\n            -> get it\n',
  )
  t.like(JSON.parse(json(findings)), { 1: { Check: 'long name', Status: 'missing', WayOut: 'get it' } })
  t.deepEqual(blocked(findings), [])
})
