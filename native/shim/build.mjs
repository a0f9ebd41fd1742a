// Compiles the static C helper to dist/native/shim/tsd-shim when its sources have changed. musl makes it small; any cc will do.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { planHeader } from './generate-header.mjs'

const source = path.dirname(new URL(import.meta.url).pathname)
const root = path.dirname(path.dirname(source))
const out = path.join(root, 'dist/native/shim')
const binary = path.join(out, 'tsd-shim')

const header = await planHeader(out)
const files = fs
  .readdirSync(source)
  .filter((name) => /\.[ch]$/.test(name))
  .sort()

function compiler() {
  const works = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
  const machine = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch] ?? ''
  if (process.env.CC) return [process.env.CC, []]
  // musl-gcc does not look where the kernel's headers are; -isystem would hide musl's own.
  if (works('musl-gcc')) return ['musl-gcc', ['-idirafter', '/usr/include', '-idirafter', `/usr/include/${machine}`]]
  for (const command of ['cc', 'gcc', 'clang']) if (works(command)) return [command, []]
  console.error(
    'tsd: no C compiler found: the container helper cannot be built.\n' +
      'Install one, on Debian: apt-get install musl-tools   (or: apt-get install gcc libc6-dev)',
  )
  process.exit(1)
}

const hash = createHash('sha256').update(header)
for (const name of files) hash.update(name).update(fs.readFileSync(path.join(source, name)))
hash.update(fs.readFileSync(path.join(source, 'build.mjs')))
const stamp = hash.digest('hex')
const stampFile = path.join(out, 'tsd-shim.stamp')
const current = fs.existsSync(binary) && fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === stamp

if (!current) {
  fs.writeFileSync(path.join(out, 'plan.h'), header)
  const [command, extra] = compiler()
  const sources = files.filter((name) => name.endsWith('.c')).map((name) => path.join(source, name))
  const flags = ['-static', '-Os', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-ffunction-sections', '-Wl,--gc-sections', '-s']
  const temporary = `${binary}.${process.pid}`
  try {
    execFileSync(command, [...flags, ...extra, `-I${out}`, '-o', temporary, ...sources], { stdio: 'inherit' })
  } catch {
    console.error(
      `tsd: ${command} could not build the container helper. On Debian, apt-get install musl-tools (or gcc libc6-dev) gives what is needed.`,
    )
    process.exit(1)
  }
  fs.renameSync(temporary, binary)
  fs.writeFileSync(stampFile, stamp)
}
