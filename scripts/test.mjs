// `npm test`: installs what tests need (as root), builds, runs ava and prints as its last line `N passed, N failed, N skipped`.
// A skip that is not in test/skips.json is a failure. Arguments are file patterns for ava; --no-build leaves the build out.
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'

process.chdir(path.dirname(import.meta.dirname))

const args = process.argv.slice(2)
const patterns = args.filter((arg) => !arg.startsWith('--'))
const root = process.getuid() === 0
const counts = { passed: 0, failed: 0, skipped: 0 }
const problems = []

const allowed = JSON.parse(fs.readFileSync('test/skips.json', 'utf8'))
/** Titles are matched whole, or by their ending when the entry has none but an ending. */
function reasonOf(title) {
  const entry = allowed.find(({ name, ending, withoutRoot }) => {
    if (withoutRoot === true && root) return false
    return name !== undefined ? title === name || title.endsWith(` › ${name}`) : title.endsWith(ending)
  })
  return entry?.reason
}

function finish() {
  for (const problem of problems) console.log(problem)
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
  process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0)
}

function prepare(name, command, commandArgs) {
  const { status } = spawnSync(command, commandArgs, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status === 0) return
  problems.push(`${name} failed`)
  counts.failed++
  finish()
}

function line(text) {
  const match = /^(not )?ok \d+ - (.*?)( # (SKIP|TODO).*)?$/.exec(text)
  if (match === null) return
  const [, bad, title, , directive] = match
  if (directive !== undefined) {
    const reason = reasonOf(title)
    if (reason === undefined) {
      counts.failed++
      problems.push(`skipped, but not listed in test/skips.json: ${title}`)
    } else {
      counts.skipped++
      console.log(`skipped: ${title} (${reason})`)
    }
  } else if (bad !== undefined) {
    counts.failed++
    problems.push(`failed: ${title}`)
  } else counts.passed++
}

/** npm puts node_modules/.bin first, where a program `nft` lies that is not nftables'; sbin is not on everybody's path. */
const searched = (process.env.PATH ?? '').split(':').filter((dir) => !dir.endsWith('node_modules/.bin') && !dir.endsWith('node-gyp-bin'))
const PATH = [...new Set([...searched, '/usr/local/sbin', '/usr/sbin', '/sbin'])].join(':')

/** Diagnostics of failures pass through, the rest is one dot per test. */
async function ava(files, concurrency) {
  const child = spawn('node_modules/.bin/ava', ['--tap', `--concurrency=${concurrency}`, ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PATH },
  })
  const closed = new Promise((resolve) => child.on('close', resolve))
  const before = { ...counts }
  let failing = false
  for await (const text of readline.createInterface({ input: child.stdout })) {
    line(text)
    if (/^(not )?ok \d+ - /.test(text)) failing = text.startsWith('not ok')
    if (failing || (text.startsWith('#') && !/^# (tests|pass|skip|fail|todo)/.test(text) && process.env.TSD_TEST_VERBOSE)) console.log(text)
  }
  const status = await closed
  if (status !== 0 && counts.failed === before.failed) {
    counts.failed++
    problems.push(`ava ended with status ${status} for ${files.join(' ')}`)
  }
}

prepare('installing test packages', 'bash', ['scripts/test-setup.sh'])
if (!args.includes('--no-build')) prepare('build', process.execPath, ['scripts/build.mjs'])

if (patterns.length > 0) await ava(patterns, 1)
else {
  const has = (dir) => fs.existsSync(dir) && fs.readdirSync(dir, { recursive: true }).some((name) => name.endsWith('.test.js'))
  const units = ['core', 'drivers', 'plugins', 'native'].filter((dir) => has(`dist/${dir}`))
  await ava(
    units.map((dir) => `dist/${dir}/**/*.test.js`),
    2,
  )
  // These start daemons and share the machine's bridges, cgroups and tables.
  if (has('dist/test')) await ava(['dist/test/**/*.test.js'], 1)
}
finish()
