import { opTable, phases, type OpDefinition } from './ops.js'

export { opTable } from './ops.js'

type Split<S extends string> = S extends `${infer A}|${infer B}` ? A | Split<B> : S
type Text = string | Uint8Array
type Value<S extends string> = S extends `enum${'?' | ''}:${infer L}`
  ? Split<L>
  : S extends 'str' | 'str?' | 'bytes' | 'bytes?'
    ? Text
    : S extends 'bool' | 'bool?'
      ? boolean
      : S extends 'u64' | 'u64?'
        ? number | bigint
        : S extends 'strs' | 'strs?'
          ? readonly Text[]
          : S extends 'u32s' | 'u32s?'
            ? readonly number[]
            : number

type OptionalKeys<F> = { [K in keyof F]: F[K] extends `${string}?` | `enum?:${string}` ? K : never }[keyof F]
type Fields<F extends Record<string, string>> = { [K in Exclude<keyof F, OptionalKeys<F>>]: Value<F[K]> } & {
  [K in OptionalKeys<F>]?: Value<F[K]>
}
type Table = typeof opTable
export type OpName = keyof Table

/** One op of the table, by name. `ignore`: errnos that count as success. */
export type Op<K extends OpName = OpName> = { [N in K]: { op: N; ignore?: readonly number[] } & Fields<Table[N]['fields']> }[K]
type InPhase<L extends string> = { [K in OpName]: Table[K]['in'] extends `${string}${L}${string}` ? K : never }[OpName]

export type SetupOp = Op<InPhase<'s'>>
export type HostOp = Op<InPhase<'h'>>
export type CloneOp = Op<InPhase<'l'>>
export type ParentOp = Op<InPhase<'p'>>
export type ChildOp = Op<InPhase<'c'>>

/** What a shim or helper does, phase by phase. Phases left out are empty. */
export interface Plan {
  setup?: readonly SetupOp[]
  host?: readonly HostOp[]
  clone?: readonly CloneOp[]
  parent?: readonly ParentOp[]
  child?: readonly ChildOp[]
}

export type Phase = keyof typeof phases
export const phaseNames = Object.keys(phases) as Phase[]

export const PLAN_MAGIC = 0x50445354
export const PLAN_VERSION = 1
export const PLAN_HEADER = 12
/** The largest plan a zygote takes. */
export const PLAN_MAX = 16 << 20
export const SLOTS = 64

/** Growing little-endian buffer. */
class Writer {
  buffer = Buffer.allocUnsafe(32 << 10)
  length = 0

  room(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + bytes))
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }

  u32(value: number): void {
    this.room(4)
    this.patch(this.length, value)
    this.length += 4
  }

  patch(at: number, value: number): void {
    const { buffer } = this
    buffer[at] = value & 0xff
    buffer[at + 1] = (value >>> 8) & 0xff
    buffer[at + 2] = (value >>> 16) & 0xff
    buffer[at + 3] = value >>> 24
  }

  u64(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value <= 0xffffffff) {
      this.u32(value)
      return this.u32(0)
    }
    this.room(8)
    this.length = this.buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), this.length)
  }

  /** Length, bytes and a NUL, so that C uses strings in place. */
  text(value: Text, nulAllowed: boolean, where: string): void {
    if (!nulAllowed && (typeof value === 'string' ? value.includes('\0') : value.includes(0)))
      throw new TypeError(`${where} must not contain NUL bytes`)
    const start = this.length
    // No character of a JavaScript string takes more than three bytes.
    this.room(4 + (typeof value === 'string' ? value.length * 3 : value.length) + 1)
    const from = start + 4
    let size = value.length
    if (typeof value !== 'string') this.buffer.set(value, from)
    else size = this.buffer.write(value, from, 'utf8')
    this.patch(start, size)
    this.buffer[from + size] = 0
    this.length = from + size + 1
  }
}

type WriteField = (writer: Writer, value: unknown) => void

/** What writes one field, made once for each field of the table. */
function fieldWriter(type: string, where: string): WriteField {
  if (type.startsWith('enum')) {
    const names = type.slice(type.indexOf(':') + 1).split('|')
    const optional = type.startsWith('enum?')
    return (writer, value) => {
      const index = value === undefined && optional ? 0 : names.indexOf(value as string)
      if (index < 0) throw new TypeError(`${where} must be one of ${names.join(', ')}`)
      writer.u32(index)
    }
  }
  const optional = type.endsWith('?')
  const base = optional ? type.slice(0, -1) : type
  const write = baseWriter(base, optional, where)
  if (optional) return write
  return (writer, value) => {
    if (value === undefined) throw new TypeError(`${where} is missing`)
    write(writer, value)
  }
}

function baseWriter(base: string, optional: boolean, where: string): WriteField {
  switch (base) {
    case 'str':
    case 'bytes': {
      const nulAllowed = base === 'bytes'
      return (writer, value) => writer.text((value as Text | undefined) ?? '', nulAllowed, where)
    }
    case 'bool':
      return (writer, value) => writer.u32(value === true ? 1 : 0)
    case 'u64':
      return (writer, value) => writer.u64((value as number | bigint | undefined) ?? 0)
    case 'slot':
      return (writer, value) => {
        const slot = (value as number | undefined) ?? -1
        if (slot >= SLOTS || (slot < 0 && !optional)) throw new TypeError(`${where} must be a slot from 0 to ${SLOTS - 1}`)
        writer.u32(slot)
      }
    case 'strs':
      return (writer, value) => {
        const list = (value as readonly Text[] | undefined) ?? []
        writer.u32(list.length)
        for (const item of list) writer.text(item, false, where)
      }
    case 'u32s':
      return (writer, value) => {
        const list = (value as readonly number[] | undefined) ?? []
        writer.u32(list.length)
        for (const item of list) writer.u32(item)
      }
    default:
      return (writer, value) => writer.u32((value as number | undefined) ?? 0)
  }
}

interface OpWriter {
  code: number
  in: string
  fields: [name: string, write: WriteField][]
}

const opWriters = new Map<string, OpWriter>(
  Object.entries<OpDefinition>(opTable).map(([op, definition]) => [
    op,
    {
      code: definition.code,
      in: definition.in,
      fields: Object.entries(definition.fields).map(([name, type]) => [name, fieldWriter(type, `${op}.${name}`)]),
    },
  ]),
)

/**
 * Header (magic, version, total length), then one record per op: u8 phase, u8 number of ignored errnos, u16 code, u32 payload length,
 * ignored errnos (u32 each), fields in table order.
 */
export function encodePlan(plan: Plan): Buffer {
  const writer = new Writer()
  writer.u32(PLAN_MAGIC)
  writer.u32(PLAN_VERSION)
  writer.u32(0)
  phaseNames.forEach((phase, index) => {
    for (const op of plan[phase] ?? []) {
      const definition = opWriters.get(op.op)
      if (!definition?.in.includes(phases[phase])) throw new TypeError(`op ${op.op} cannot stand in the ${phase} phase of a plan`)
      const ignore = op.ignore ?? []
      const start = writer.length
      writer.u32((index | (ignore.length << 8) | (definition.code << 16)) >>> 0)
      writer.u32(0)
      for (const errno of ignore) writer.u32(errno)
      for (const [name, write] of definition.fields) write(writer, (op as unknown as Record<string, unknown>)[name])
      writer.patch(start + 4, writer.length - start - 8)
    }
  })
  if (writer.length > PLAN_MAX) throw new RangeError(`a plan of ${writer.length} bytes is larger than ${PLAN_MAX}`)
  writer.patch(8, writer.length)
  return writer.buffer.subarray(0, writer.length)
}
