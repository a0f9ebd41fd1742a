import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { opTable, phases, type OpDefinition } from './ops.js'
import { encodePlan, phaseNames, type Plan } from './plan.js'
import { shimBinary } from './client.js'

const hex = (text: string | Uint8Array) => ` ${Buffer.from(text).toString('hex')}.`

/** What `tsd-shim --decode` prints for a field. */
function printed(type: string, value: unknown): string {
  const enumNames = /^enum\??:(.*)$/.exec(type)?.[1]?.split('|')
  if (enumNames) return ` ${enumNames.indexOf(value as string)}`
  switch (type.replace('?', '')) {
    case 'str':
    case 'bytes':
      return hex(value as Uint8Array)
    case 'strs':
      return ` [${(value as Uint8Array[]).map(hex).join('')} ]`
    case 'u32s':
      return ` [${(value as number[]).map((n) => ` ${n}`).join('')} ]`
    case 'bool':
      return value === true ? ' 1' : ' 0'
    default:
      return ` ${String(value)}`
  }
}

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const str = fc.uint8Array({ maxLength: 40 }).map((bytes) => bytes.map((b) => (b === 0 ? 1 : b)))

function arbitrary(type: string): fc.Arbitrary<unknown> {
  const enumNames = /^enum\??:(.*)$/.exec(type)?.[1]?.split('|')
  if (enumNames) return fc.constantFrom(...enumNames)
  switch (type.replace('?', '')) {
    case 'str':
      return str
    case 'bytes':
      return fc.uint8Array({ maxLength: 60 })
    case 'strs':
      return fc.array(str, { maxLength: 4 })
    case 'u32s':
      return fc.array(u32, { maxLength: 4 })
    case 'bool':
      return fc.boolean()
    case 'u64':
      return fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
    case 'i32':
      return fc.integer({ min: -0x80000000, max: 0x7fffffff })
    case 'slot':
      return fc.integer({ min: 0, max: 63 })
    default:
      return u32
  }
}

interface AnyOp {
  phase: number
  name: string
  ignore: number[]
  values: Record<string, unknown>
}

const anyOp: fc.Arbitrary<AnyOp> = fc.constantFrom(...Object.keys(opTable)).chain((name) => {
  const definition = (opTable as Record<string, OpDefinition>)[name] as OpDefinition
  const allowed = phaseNames.map((phase, index) => ({ phase, index })).filter(({ phase }) => definition.in.includes(phases[phase]))
  return fc.record({
    phase: fc.constantFrom(...allowed.map(({ index }) => index)),
    name: fc.constant(name),
    ignore: fc.array(fc.integer({ min: 1, max: 133 }), { maxLength: 3 }),
    values: fc.record(Object.fromEntries(Object.entries(definition.fields).map(([field, type]) => [field, arbitrary(type)]))),
  })
})

function planOf(ops: AnyOp[]): Plan {
  const plan: Record<string, unknown[]> = {}
  for (const op of ops) (plan[phaseNames[op.phase] as string] ??= []).push({ op: op.name, ignore: op.ignore, ...op.values })
  return plan as Plan
}

function expected(ops: AnyOp[]): string {
  return [...ops]
    .sort((a, b) => a.phase - b.phase)
    .map((op) => {
      const fields = Object.entries((opTable as Record<string, OpDefinition>)[op.name]?.fields ?? {})
      const shown = fields.map(([field, type]) => printed(type, op.values[field])).join('')
      return `${op.phase} ${op.name}${shown} !${op.ignore.map((n) => ` ${n}`).join('')}\n`
    })
    .join('')
}

function decode(bytes: Uint8Array): { status: number | null; stdout: string } {
  const file = `/tmp/tsd-plan-${process.pid}`
  fs.writeFileSync(file, bytes)
  const fd = fs.openSync(file, 'r')
  try {
    return spawnSync(shimBinary, ['--decode'], { stdio: [fd, 'pipe', 'ignore'], encoding: 'utf8' })
  } finally {
    fs.closeSync(fd)
    fs.rmSync(file)
  }
}

test('every plan reads the same in C', (t) => {
  fc.assert(
    fc.property(fc.array(anyOp, { maxLength: 12 }), (ops) => {
      const { status, stdout } = decode(encodePlan(planOf(ops)))
      return status === 0 && stdout === expected(ops)
    }),
    { numRuns: 60 },
  )
  t.pass()
})

test('a damaged plan is refused and never crashes the reader', (t) => {
  const plan = encodePlan({
    host: [
      { op: 'mkdir', path: '/a' },
      { op: 'run', argv: ['a', 'b'], env: ['c'] },
    ],
  })
  for (let length = 0; length < plan.length; length++) t.is(decode(plan.subarray(0, length)).status, 1)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: plan.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const damaged = Buffer.from(plan)
      damaged[at] = value
      return decode(damaged).status !== null
    }),
    { numRuns: 60 },
  )
})

test('ops stand only in their phases, and fields are checked', (t) => {
  t.throws(() => encodePlan({ host: [{ op: 'exec', argv: ['x'] }] as never }), { message: /op exec cannot stand in the host phase/ })
  t.throws(() => encodePlan({ host: [{ op: 'mkdir' }] as never }), { message: /mkdir.path is missing/ })
  t.throws(() => encodePlan({ host: [{ op: 'mkdir', path: 'a\0b' }] }), { message: /NUL/ })
  t.throws(() => encodePlan({ host: [{ op: 'close', slot: 64 }] }), { message: /slot from 0 to 63/ })
})

test('codes of ops are unique', (t) => {
  const codes = Object.values(opTable).map((op) => op.code)
  t.is(new Set(codes).size, codes.length)
})
