// Holds the table of request fields against the API schema and against the titles of the tests it names.
// Usage: node scripts/check-fields.mjs (after npm run build)
import fs from 'node:fs'
import path from 'node:path'
import { fields } from '../dist/core/engine/containers/spec/fields.js'

const schema = JSON.parse(fs.readFileSync('core/schema/engine-api-v1.51.json', 'utf8')).definitions

function properties(name) {
  const definition = schema[name]
  const own = definition.properties ?? {}
  const parts = (definition.allOf ?? []).filter((part) => part.properties).map((part) => part.properties)
  return Object.keys(Object.assign({}, own, ...parts))
}

function testFiles(dir, found = []) {
  if (!fs.existsSync(dir)) return found
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    if (entry.name === 'node_modules') continue
    const file = path.join(dir, entry.name)
    if (entry.isDirectory()) testFiles(file, found)
    else if (entry.name.endsWith('.test.ts')) found.push(file)
  }
  return found
}

const titles = new Set()
for (const file of ['core', 'drivers', 'plugins', 'test'].flatMap((dir) => testFiles(dir)))
  for (const [, title] of fs.readFileSync(file, 'utf8').matchAll(/['"`](field [A-Za-z]+\.[A-Za-z0-9]+)(?=[^A-Za-z0-9])/g)) titles.add(title)

const problems = []
for (const [type, rules] of Object.entries(fields)) {
  const known = properties(type)
  for (const field of known) if (!rules[field]) problems.push(`${type}.${field} is in the schema and not in fields.ts`)
  for (const [field, rule] of Object.entries(rules)) {
    if (!known.includes(field)) problems.push(`${type}.${field} is in fields.ts and not in the schema`)
    const title = rule.honoured ?? rule.refused
    if (!titles.has(title)) problems.push(`no test has a title that starts with "${title}"`)
  }
}
for (const problem of problems) console.error(problem)
console.log(`${Object.values(fields).reduce((sum, rules) => sum + Object.keys(rules).length, 0)} fields, ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0
