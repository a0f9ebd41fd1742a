/** cgroup v2 has no files for device rules: a small BPF program answers each access. */
import { closeSync, openSync } from 'node:fs'
import koffi from 'koffi'
import { check, libc } from './libc.js'

/** A rule of `linux.resources.devices` of the OCI runtime spec. */
export interface DeviceRule {
  allow: boolean
  type?: 'a' | 'b' | 'c'
  major?: number
  minor?: number
  access?: string
}

const SYS_BPF =
  process.arch === 'arm64' || process.arch === 'riscv64' ? 280 : process.arch === 's390x' ? 351 : process.arch === 'ppc64' ? 361 : 321

const BPF_PROG_LOAD = 5
const BPF_PROG_ATTACH = 8
const BPF_PROG_TYPE_CGROUP_DEVICE = 15
const BPF_CGROUP_DEVICE = 6
const BPF_F_ALLOW_MULTI = 2

const R0 = 0
const CONTEXT = 1
const TYPE = 2
const ACCESS = 3
const MAJOR = 4
const MINOR = 5
const SCRATCH = 6

const LDX_W = 0x61
const AND32 = 0x54
const RSH32 = 0x74
const MOV32_REG = 0xbc
const MOV64 = 0xb7
const JNE = 0x55
const JEQ = 0x15
const JNE_REG = 0x5d
const EXIT = 0x95

const BLOCK = 1
const CHARACTER = 2
const accessBits: Record<string, number> = { m: 1, r: 2, w: 4 }
const ALL_ACCESS = 7

function instruction(code: number, dst: number, src: number, offset: number, immediate: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt8(code, 0)
  bytes.writeUInt8((src << 4) | dst, 1)
  bytes.writeInt16LE(offset, 2)
  bytes.writeInt32LE(immediate | 0, 4)
  return bytes
}

/** The last rule that matches decides, as in v1's list; what no rule names is denied. */
export function deviceProgram(rules: readonly DeviceRule[]): Buffer {
  const program = [
    instruction(LDX_W, TYPE, CONTEXT, 0, 0),
    instruction(MOV32_REG, ACCESS, TYPE, 0, 0),
    instruction(AND32, TYPE, 0, 0, 0xffff),
    instruction(RSH32, ACCESS, 0, 0, 16),
    instruction(LDX_W, MAJOR, CONTEXT, 4, 0),
    instruction(LDX_W, MINOR, CONTEXT, 8, 0),
  ]
  for (const rule of [...rules].reverse()) {
    const any = rule.type === undefined || rule.type === 'a'
    const access = [...(rule.access ?? 'rwm')].reduce((bits, letter) => bits | (accessBits[letter] ?? 0), 0)
    const tests: [code: number, register: number, value: number][] = []
    const prologue: Buffer[] = []
    if (!any) tests.push([JNE, TYPE, rule.type === 'b' ? BLOCK : CHARACTER])
    if (rule.major !== undefined && rule.major >= 0) tests.push([JNE, MAJOR, rule.major])
    if (rule.minor !== undefined && rule.minor >= 0) tests.push([JNE, MINOR, rule.minor])
    const partial = access !== ALL_ACCESS
    const body = [instruction(MOV64, R0, 0, 0, rule.allow ? 1 : 0), instruction(EXIT, 0, 0, 0, 0)]
    if (partial) {
      // Allowed is only what asks for nothing more; denied is whatever asks for any of it.
      body.unshift(
        instruction(MOV32_REG, SCRATCH, ACCESS, 0, 0),
        instruction(AND32, SCRATCH, 0, 0, access),
        rule.allow ? instruction(JNE_REG, SCRATCH, ACCESS, 2, 0) : instruction(JEQ, SCRATCH, 0, 2, 0),
      )
    }
    tests.forEach(([code, register, value], index) =>
      prologue.push(instruction(code, register, 0, tests.length - index - 1 + body.length, value)),
    )
    program.push(...prologue, ...body)
    if (any && !partial && tests.length === 0) return Buffer.concat(program)
  }
  program.push(instruction(MOV64, R0, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0))
  return Buffer.concat(program)
}

const bpf = libc.func('long syscall(long number, long command, void *attr, long size)') as (
  number: number,
  command: number,
  attr: Buffer,
  size: number,
) => number

/** Puts the program on a cgroup v2 directory; it lives as long as the group. */
export function attachDeviceProgram(cgroupDir: string, program: Buffer): void {
  const license = Buffer.from('Apache-2.0\0')
  const load = Buffer.alloc(72)
  load.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0)
  load.writeUInt32LE(program.length / 8, 4)
  load.writeBigUInt64LE(BigInt(koffi.address(program)), 8)
  load.writeBigUInt64LE(BigInt(koffi.address(license)), 16)
  const programFd = check(bpf(SYS_BPF, BPF_PROG_LOAD, load, load.length), 'bpf', 'BPF_PROG_LOAD')
  try {
    const dir = openSync(cgroupDir, 'r')
    try {
      const attach = Buffer.alloc(20)
      attach.writeUInt32LE(dir, 0)
      attach.writeUInt32LE(programFd, 4)
      attach.writeUInt32LE(BPF_CGROUP_DEVICE, 8)
      attach.writeUInt32LE(BPF_F_ALLOW_MULTI, 12)
      check(bpf(SYS_BPF, BPF_PROG_ATTACH, attach, attach.length), 'bpf', `BPF_PROG_ATTACH ${cgroupDir}`)
    } finally {
      closeSync(dir)
    }
  } finally {
    closeSync(programFd)
  }
}
