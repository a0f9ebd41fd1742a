/**
 * A program of its own (it runs for a moment and gives its memory back): reads linux.seccomp of an OCI runtime spec as JSON from stdin and writes the
 * compiled struct sock_filter[] to stdout. libseccomp does the work, with a binary tree instead of a linear search.
 */
import fs from 'node:fs'
import koffi from 'koffi'
import type { SeccompSpec } from './seccomp.js'

const EEXIST = 17
const ENOSYS = 38
const EPERM = 1
const CTL_OPTIMIZE = 8
const CTL_NNP = 3
const NR_ERROR = -1
const X32_BIT = 0x40000000
const AUDIT_ARCH_X86_64 = 0xc000003e

function load() {
  for (const name of ['libseccomp.so.2', 'libseccomp.so']) {
    try {
      return koffi.load(name)
    } catch {
      continue
    }
  }
  throw new Error('libseccomp.so.2 is missing: install it (apt-get install libseccomp2), or run with --security-opt seccomp=unconfined')
}

const actions: Record<string, (errno: number) => number> = {
  SCMP_ACT_KILL: () => 0,
  SCMP_ACT_KILL_THREAD: () => 0,
  SCMP_ACT_KILL_PROCESS: () => 0x80000000,
  SCMP_ACT_TRAP: () => 0x00030000,
  SCMP_ACT_ERRNO: (errno) => 0x00050000 | (errno & 0xffff),
  SCMP_ACT_TRACE: (errno) => 0x7ff00000 | (errno & 0xffff),
  SCMP_ACT_LOG: () => 0x7ffc0000,
  SCMP_ACT_ALLOW: () => 0x7fff0000,
}

const compares: Record<string, number> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
}

const archNames: Record<string, string> = { SCMP_ARCH_PPC64LE: 'ppc64le', SCMP_ARCH_PARISC64: 'parisc64' }

function actionOf(name: string, errno: number | undefined, what: string): number {
  const action = actions[name]
  if (!action) throw new Error(`seccomp action ${name} of ${what} is not supported`)
  return action(errno ?? EPERM)
}

/** struct sock_filter. */
function instruction(code: number, jt: number, jf: number, k: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt8(jt, 2)
  bytes.writeUInt8(jf, 3)
  bytes.writeUInt32LE(k >>> 0, 4)
  return bytes
}

const LD = 0x20
const JEQ = 0x15
const JGT = 0x25
const JGE = 0x35
const JA = 0x05
const RET = 0x06

/**
 * System calls newer than everything the profile names answer ENOSYS, so that programs fall back to the older ones that it allows.
 * `newest`: by audit architecture the largest number that the profile names.
 */
function unknownCalls(newest: Map<number, { native: number; x32?: number }>): Buffer {
  const blocks = [...newest].map(([arch, { native, x32 }]) => {
    const body =
      x32 === undefined
        ? [instruction(JGT, 0, 1, native)]
        : [instruction(JGE, 0, 1, X32_BIT), instruction(JGT, 1, 2, x32), instruction(JGT, 0, 1, native)]
    return { arch, body: [instruction(LD, 0, 0, 0), ...body, instruction(RET, 0, 0, 0x00050000 | ENOSYS)] }
  })
  let rest = blocks.reduce((sum, { body }) => sum + body.length + 2, 0)
  const out = [instruction(LD, 0, 0, 4)]
  for (const { arch, body } of blocks) {
    rest -= body.length + 2
    out.push(instruction(JEQ, 0, body.length + 1, arch), ...body, instruction(JA, 0, 0, rest))
  }
  return Buffer.concat(out)
}

export function compileSeccomp(seccomp: SeccompSpec, fd: number): void {
  const lib = load()
  const init = lib.func('void *seccomp_init(uint32_t action)') as (action: number) => unknown
  const attrSet = lib.func('int seccomp_attr_set(void *ctx, int attr, uint32_t value)') as (
    ctx: unknown,
    attr: number,
    value: number,
  ) => number
  const archResolve = lib.func('uint32_t seccomp_arch_resolve_name(const char *name)') as (name: string) => number
  const archNative = lib.func('uint32_t seccomp_arch_native()') as () => number
  const archAdd = lib.func('int seccomp_arch_add(void *ctx, uint32_t token)') as (ctx: unknown, token: number) => number
  const resolve = lib.func('int seccomp_syscall_resolve_name(const char *name)') as (name: string) => number
  const resolveArch = lib.func('int seccomp_syscall_resolve_name_arch(uint32_t token, const char *name)') as (
    token: number,
    name: string,
  ) => number
  const ruleAdd = lib.func('int seccomp_rule_add_array(void *ctx, uint32_t action, int syscall, uint32_t count, const void *args)') as (
    ctx: unknown,
    action: number,
    syscall: number,
    count: number,
    args: Buffer | null,
  ) => number
  const exportBpf = lib.func('int seccomp_export_bpf(void *ctx, int fd)') as (ctx: unknown, fd: number) => number

  const check = (result: number, what: string) => {
    if (result < 0 && result !== -EEXIST) throw new Error(`libseccomp: ${what}: errno ${-result}`)
  }
  const fallback = actionOf(seccomp.defaultAction, seccomp.defaultErrnoRet, 'the default')
  const ctx = init(fallback)
  if (!ctx) throw new Error(`libseccomp: the default action ${seccomp.defaultAction} is refused`)
  check(attrSet(ctx, CTL_NNP, 0), 'no_new_privs')
  // Older libraries know only the linear form.
  attrSet(ctx, CTL_OPTIMIZE, 2)
  const tokens = new Set([archNative()])
  for (const name of seccomp.architectures ?? []) {
    const token = archResolve(archNames[name] ?? name.replace('SCMP_ARCH_', '').toLowerCase())
    if (token === 0) throw new Error(`seccomp architecture ${name} is unknown to libseccomp`)
    tokens.add(token)
    check(archAdd(ctx, token), `architecture ${name}`)
  }

  const newest = new Map<number, { native: number; x32?: number }>()
  const note = (name: string) => {
    for (const token of tokens) {
      const number = resolveArch(token, name)
      if (number < 0) continue
      const x32 = token === (AUDIT_ARCH_X86_64 & 0x7fffffff) >>> 0
      const arch = x32 ? AUDIT_ARCH_X86_64 : token
      const entry = newest.get(arch) ?? { native: -1 }
      if (x32) entry.x32 = Math.max(entry.x32 ?? -1, number)
      else entry.native = Math.max(entry.native, number)
      newest.set(arch, entry)
    }
  }

  for (const rule of seccomp.syscalls ?? []) {
    const action = actionOf(rule.action, rule.errnoRet, rule.names.join(', '))
    const args = rule.args ?? []
    const encoded = args.map((arg) => {
      const op = compares[arg.op]
      if (op === undefined) throw new Error(`seccomp comparison ${arg.op} is unknown`)
      const bytes = Buffer.alloc(24)
      bytes.writeUInt32LE(arg.index, 0)
      bytes.writeUInt32LE(op, 4)
      bytes.writeBigUInt64LE(BigInt(arg.value), 8)
      bytes.writeBigUInt64LE(BigInt(arg.valueTwo ?? 0), 16)
      return bytes
    })
    // libseccomp takes one condition per argument in a rule: several on one argument are alternatives.
    const alternatives = new Set(args.map((arg) => arg.index)).size < args.length
    for (const name of rule.names) {
      note(name)
      const number = resolve(name)
      if (number === NR_ERROR || action === fallback) continue
      if (encoded.length === 0) check(ruleAdd(ctx, action, number, 0, null), name)
      else if (alternatives) for (const one of encoded) check(ruleAdd(ctx, action, number, 1, one), name)
      else check(ruleAdd(ctx, action, number, encoded.length, Buffer.concat(encoded)), name)
    }
  }

  const permissive = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'].includes(seccomp.defaultAction)
  if (!permissive && newest.size > 0) fs.writeSync(fd, unknownCalls(newest))
  check(exportBpf(ctx, fd), 'export')
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  try {
    compileSeccomp(JSON.parse(fs.readFileSync(0, 'utf8')) as SeccompSpec, 1)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = 1
  }
}
