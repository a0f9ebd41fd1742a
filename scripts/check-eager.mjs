// What an idle daemon does not need must not be loaded by it: memory. Loads the daemon's module graph and every bundled driver, has V8 list what was
// loaded, and holds it against what is allowed. Usage: node scripts/check-eager.mjs (after npm run build); with a directory: holds what a process
// left there that ran with NODE_V8_COVERAGE.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

process.chdir(path.dirname(import.meta.dirname))

/** Packages that the project names itself, and that a daemon needs at every boot. What they depend on comes with them. */
const allowed = ['@koa/router', 'classic-level', 'ipaddr.js', 'koa', 'koffi', 'pino', 'reflect-metadata', 'tsyringe']
/** koa's debug takes it where a development tree happens to have it. */
const tolerated = ['supports-color']
/** Of our own: loaded by whoever asks for it. */
const lazy = ['core/kernel/host-process.js', 'core/kernel/trace-blocking.js', 'core/cli', 'core/tools', 'core/sdk/testing', 'test']

function drivers(dir) {
  if (!fs.existsSync(dir)) return []
  return fs.readdirSync(dir, { recursive: true }).flatMap((name) => {
    const manifest = path.join(dir, name)
    const index = path.join(path.dirname(manifest), 'index.js')
    if (path.basename(name) !== 'package.json' || !fs.existsSync(index)) return []
    return JSON.parse(fs.readFileSync(manifest, 'utf8')).tsd === undefined ? [] : [index]
  })
}

function load(into) {
  const imports = ['dist/drivers', 'dist/plugins']
    .flatMap(drivers)
    .map((file) => `await import('${pathToFileURL(path.resolve(file)).href}')`)
  const runs = [
    ['dist/core/daemon/main.js', '--version'],
    ['--input-type=module', '--eval', imports.join('\n')],
  ]
  for (const args of runs) {
    const { status } = spawnSync(process.execPath, args, {
      env: { ...process.env, NODE_V8_COVERAGE: into },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (status !== 0) throw new Error(`node ${args[0]} ended with status ${status}`)
  }
}

function loaded(dir) {
  const reports = fs.readdirSync(dir).map((name) => JSON.parse(fs.readFileSync(path.join(dir, name), 'utf8')))
  const files = reports.flatMap(({ result }) => result.map(({ url }) => url)).filter((url) => url.startsWith('file:'))
  return [...new Set(files)].map((url) => path.relative(process.cwd(), fileURLToPath(url)))
}

const packageOf = (file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]

const lock = JSON.parse(fs.readFileSync('package-lock.json', 'utf8')).packages
/** The allowed packages and what they need to run. */
function closure(names, found = new Set()) {
  for (const name of names) {
    if (found.has(name)) continue
    found.add(name)
    const { dependencies, optionalDependencies, peerDependencies } = lock[`node_modules/${name}`] ?? {}
    closure(Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }), found)
  }
  return found
}

let dir = process.argv[2]
const own = dir === undefined
if (own) {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-eager-'))
  load(dir)
}
const files = loaded(dir)
if (own) fs.rmSync(dir, { recursive: true })

const permitted = closure([...allowed, ...tolerated])
const packages = [...new Set(files.map(packageOf).filter((name) => name !== undefined))].sort()
const ours = files.filter((file) => packageOf(file) === undefined)
if (!ours.includes('dist/core/daemon/main.js')) throw new Error(`${dir} tells of no daemon`)
const problems = [
  ...packages.filter((name) => !permitted.has(name)).map((name) => `package ${name}`),
  ...ours.filter((file) => lazy.some((part) => file === `dist/${part}` || file.startsWith(`dist/${part}/`))),
]
for (const problem of problems) console.error(`${problem} is loaded by an idle daemon: use import() where it is needed`)
console.log(`loaded: ${packages.filter((name) => allowed.includes(name)).join(' ')} and ${ours.length} modules of our own`)
process.exitCode = problems.length > 0 ? 1 : 0
