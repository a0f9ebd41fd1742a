// Everything that is checked without running the product: `npm run check`. Each step runs, whatever the ones before it said.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

process.chdir(path.dirname(import.meta.dirname))

const bin = (name) => path.join('node_modules/.bin', name)
const rooms = ['core', 'drivers', 'native', 'plugins', 'test'].filter((dir) => fs.existsSync(dir))
const steps = [
  ['generated types', process.execPath, ['scripts/generate-schema.mjs', '--check']],
  ['types and build', process.execPath, ['scripts/build.mjs']],
  ['lint', bin('eslint'), ['--max-warnings=0', ...rooms]],
  ['imports', bin('depcruise'), ['--config', '.dependency-cruiser.cjs', '--output-type', 'err', ...rooms]],
  [
    'format',
    bin('prettier'),
    ['--check', '--log-level', 'warn', ...rooms.map((room) => `${room}/**/*.ts`), 'scripts/*.mjs', '*.js', '*.cjs'],
  ],
  ['field table', process.execPath, ['scripts/check-fields.mjs'], 'scripts/check-fields.mjs'],
  ['generated docs', process.execPath, ['scripts/generate-docs.mjs', '--check']],
  ['eager imports', process.execPath, ['scripts/check-eager.mjs']],
]

const failed = []
for (const [name, command, args, only] of steps) {
  if (only !== undefined && !fs.existsSync(only)) continue
  const started = Date.now()
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  console.log(`${status === 0 ? 'ok' : 'FAILED'}  ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  if (status !== 0) failed.push(name)
}
if (failed.length > 0) {
  console.error(`check failed: ${failed.join(', ')}`)
  process.exit(1)
}
