// Writes the parts of docs/ that the code knows best: the settings table and the list of routes.
// Usage: node scripts/generate-docs.mjs [--check] (after npm run build)
import fs from 'node:fs'
import path from 'node:path'
import 'reflect-metadata'
import { flagRows } from '../dist/core/platform/config-flags.js'
import { dockerdOnly, settings } from '../dist/core/platform/config-schema.js'
import { engineRoutes } from '../dist/core/schema/routes.js'

process.chdir(path.dirname(import.meta.dirname))
const file = 'docs/operators.md'

const code = (text) => `\`${text}\``
const cell = (text) => text.replaceAll('|', '\\|')

function settingsTable() {
  const rows = settings.map(({ key, flag, short, default: value, reloadable, description }) => {
    const flags = [short && code(`-${short}`), flag && code(`--${flag}`)].filter(Boolean).join(' ')
    return `| ${code(key)} | ${flags || 'file only'} | ${code(cell(JSON.stringify(value)))} | ${reloadable ? 'reload' : 'restart'} | ${cell(description)} |`
  })
  return ['| key | flag | default | change needs | meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

function otherFlags() {
  const keys = new Set(settings.map(({ flag }) => flag))
  const rows = flagRows().filter(({ long }) => !keys.has(long))
  return [
    '| flag | meaning |',
    '|---|---|',
    ...rows.map(({ long, description }) => `| ${code(`--${long}`)} | ${cell(description)} |`),
  ].join('\n')
}

const dockerdKeys = () => Object.keys(dockerdOnly).sort().map(code).join(', ')

/** Routers are built over services that nobody calls: only their paths are asked. */
async function builtLayers() {
  const layers = []
  for (const name of fs.readdirSync('dist/core/api/routers')) {
    if (!name.endsWith('.js') || name.endsWith('.test.js')) continue
    const module = await import(path.resolve('dist/core/api/routers', name))
    for (const make of Object.values(module)) layers.push(...(make(new Proxy({}, { get: () => ({}) })).stack ?? []))
  }
  return layers
}
const layers = await builtLayers()

function isBuilt(route) {
  const [method, template] = route.split(' ')
  const concrete = template.replaceAll(/\{[^}]+\}/g, 'x')
  return layers.some((layer) => layer.methods.includes(method) && layer.match(concrete))
}

function routes() {
  const byNoun = new Map()
  for (const route of engineRoutes.filter((one) => !isBuilt(one))) {
    const noun = route.split('/')[1]
    byNoun.set(noun, [...(byNoun.get(noun) ?? []), code(route)])
  }
  return ['| path | routes |', '|---|---|', ...[...byNoun].map(([noun, list]) => `| ${code(`/${noun}`)} | ${list.join(', ')} |`)].join('\n')
}

const parts = { settings: settingsTable, flags: otherFlags, 'dockerd-keys': dockerdKeys, routes }

const before = fs.readFileSync(file, 'utf8')
let after = before
for (const [name, make] of Object.entries(parts)) {
  const block = new RegExp(`(<!-- generated: ${name} -->\\n)[\\s\\S]*?(\\n<!-- end -->)`)
  if (!block.test(after)) {
    console.error(`${file}: no block "<!-- generated: ${name} -->" to write to`)
    process.exit(1)
  }
  after = after.replace(block, (_, open, close) => `${open}${make()}${close}`)
}
if (after === before) console.log(`${file} is up to date`)
else if (process.argv.includes('--check')) {
  console.error(`${file} is stale: run 'node scripts/generate-docs.mjs'`)
  process.exitCode = 1
} else fs.writeFileSync(file, after)
