// Prints the C header of the op table and the frames. Usage: node native/shim/generate-header.mjs <compiled directory> > plan.h
import { pathToFileURL } from 'node:url'
import path from 'node:path'

export async function planHeader(compiledDir) {
  const compiled = (name) => import(pathToFileURL(path.resolve(compiledDir, name)).href)
  const { opTable, phases } = await compiled('ops.js')
  const frames = await compiled('frames.js')
  const snake = (name) =>
    name
      .replace(/[A-Z]/g, (c) => '_' + c)
      .replaceAll('-', '_')
      .toUpperCase()
  const letters = { str: 's', bytes: 'b', u32: 'u', i32: 'i', u64: 'q', bool: 'u', slot: 'i', strs: 'S', u32s: 'U', enum: 'u' }
  const kind = (type) => letters[type.replace(/\?.*|:.*/g, '')]
  const phaseIndex = Object.fromEntries(Object.values(phases).map((letter, index) => [letter, index]))
  const out = ['/* Generated from native/shim/ops.ts. Do not edit. */', '#ifndef PLAN_H', '#define PLAN_H', '']
  Object.keys(phases).forEach((name, index) => out.push(`#define PHASE_${name.toUpperCase()} ${index}`))
  out.push(`#define PHASE_COUNT ${Object.keys(phases).length}`, '')
  for (const name of ['SHIM_VERSION', 'FRAME_HEADER', 'FRAME_MAX', 'OUTPUT_WINDOW', 'STDIN_WINDOW', 'ZYGOTE_MAGIC', 'ZYGOTE_INLINE'])
    out.push(`#define ${name} ${frames[name]}`)
  const tables = { FROM: frames.fromShim, TO: frames.toShim, STATE: frames.shimStates, ZYGOTE: frames.toZygote }
  for (const [prefix, table] of Object.entries(tables))
    for (const [name, value] of Object.entries(table)) out.push(`#define ${prefix}_${snake(name)} ${value}`)
  out.push('')
  const codes = new Set()
  let widest = 0
  for (const [name, op] of Object.entries(opTable)) {
    if (codes.has(op.code)) throw new Error(`code ${op.code} of op ${name} is used twice`)
    codes.add(op.code)
    out.push(`#define OP_${snake(name)} ${op.code}`)
    Object.entries(op.fields).forEach(([field, type], index) => {
      out.push(`#define ${snake(name)}_${snake(field)} ${index}`)
      if (!kind(type)) throw new Error(`type ${type} of ${name}.${field} is unknown`)
      if (type.startsWith('enum'))
        type
          .slice(type.indexOf(':') + 1)
          .split('|')
          .forEach((value, n) => out.push(`#define ${snake(name)}_${snake(field)}_${snake(value)} ${n}`))
    })
    widest = Math.max(widest, Object.keys(op.fields).length)
  }
  out.push('', `#define OP_MAX ${Math.max(...codes)}`, `#define OP_FIELDS ${widest}`, '')
  out.push('/* name, phases as bits, fields: s string, b bytes, u u32, i i32, q u64, S strings, U u32s */')
  out.push('#define OP_TABLE(X) \\')
  const rows = Object.entries(opTable).map(([name, op]) => {
    const bits = [...op.in].reduce((sum, letter) => sum | (1 << phaseIndex[letter]), 0)
    return `\tX(${op.code}, "${name}", ${bits}, "${Object.values(op.fields).map(kind).join('')}")`
  })
  out.push(rows.join(' \\\n'), '', '#endif', '')
  return out.join('\n')
}

if (process.argv[2]) process.stdout.write(await planHeader(process.argv[2]))
