// Compiles TypeScript and the C helper, and lays driver manifests beside the compiled drivers.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

const root = path.dirname(path.dirname(new URL(import.meta.url).pathname))
process.chdir(root)

function manifests(dir, found = []) {
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const file = path.join(dir, entry.name)
    if (entry.isDirectory() && entry.name !== 'node_modules') manifests(file, found)
    else if (entry.name === 'package.json') found.push(file)
  }
  return found
}

/** Compiled output whose source is gone would still be discovered and tested. */
function prune(dir) {
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const file = path.join(dir, entry.name)
    if (entry.isDirectory()) {
      if (entry.name === 'node_modules') continue
      prune(file)
      if (fs.readdirSync(file).length === 0) fs.rmdirSync(file)
      continue
    }
    const source = path.relative('dist', file).replace(/(\.d\.ts|\.js\.map|\.js)$/, '.ts')
    const generated = /\.(js|d\.ts|js\.map)$/.test(entry.name)
    if (generated && !fs.existsSync(source)) fs.rmSync(file)
    if (entry.name === 'package.json' && !fs.existsSync(path.relative('dist', file))) fs.rmSync(file)
  }
}

const run = (command, args) => execFileSync(command, args, { stdio: 'inherit' })

fs.mkdirSync('dist/node_modules', { recursive: true })
run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'])
for (const file of ['drivers', 'plugins', 'core/sdk'].flatMap((dir) => manifests(dir))) {
  const target = path.join('dist', file)
  fs.mkdirSync(path.dirname(target), { recursive: true })
  fs.copyFileSync(file, target)
}
fs.mkdirSync('dist/core/schema', { recursive: true })
fs.copyFileSync('core/schema/engine-api-v1.51.json', 'dist/core/schema/engine-api-v1.51.json')
for (const dir of ['core', 'drivers', 'plugins', 'native', 'test'].map((d) => path.join('dist', d))) if (fs.existsSync(dir)) prune(dir)

/** Which source this is: for `docker version`. A packed copy has no git. */
function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short=7', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown'
  }
}
fs.writeFileSync('dist/release.json', JSON.stringify({ commit: commit(), time: new Date().toISOString() }) + '\n')

const link = 'dist/node_modules/tsd-engine'
if (!fs.existsSync(link)) fs.symlinkSync('../..', link)
if (fs.existsSync('native/shim/build.mjs')) run(process.execPath, ['native/shim/build.mjs'])
if (fs.existsSync('images/hello/build.mjs')) run(process.execPath, ['images/hello/build.mjs'])
