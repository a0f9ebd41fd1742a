// `npm run bench`: the engine's figures, side by side with Debian's dockerd in one run.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { Bench, load } from './bench.js'
import { judge } from './figure.js'
import { blocking } from './figures/blocking.js'
import { build } from './figures/build.js'
import { burst } from './figures/burst.js'
import { cli } from './figures/cli.js'
import { crowd } from './figures/crowd.js'
import { idle } from './figures/idle.js'
import { logs } from './figures/logs.js'
import { exit, start } from './figures/start.js'
import type { Group } from './group.js'
import { compilePayload } from './payload.js'
import { packageRoot } from './places.js'
import { machine, table, writeReport, type Report } from './report.js'

const groups: Group[] = [idle, cli, start, exit, blocking, burst, crowd, logs, build]

const help = `Usage: npm run bench -- [OPTIONS]

Measures tsd beside dockerd, samples alternating, and prints the median and (best) of both.

Options:
  --only NAME,NAME   Only these groups
  --rounds N         Samples of each figure, instead of each group's own number
  --json FILE        Where the samples are kept (default bench-results/DATE.json)
  --help             Print this help and exit

Groups:
${groups.map(({ name, about }) => `  ${name.padEnd(17)}${about}`).join('\n')}
`

function commit(): string {
  try {
    return execFileSync('git', ['-C', packageRoot, 'rev-parse', '--short=7', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

function need(program: string, hint: string): void {
  const dirs = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
  if (!dirs.some((dir) => fs.existsSync(path.join(dir, program)))) throw new Error(`${program} is needed: ${hint}`)
}

function wanted(only: string | undefined): Group[] {
  if (only === undefined) return groups
  return only.split(',').map((name) => {
    const group = groups.find((one) => one.name === name)
    if (!group) throw new Error(`no group of figures is called ${name}: there are ${groups.map((one) => one.name).join(', ')}`)
    return group
  })
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  })
  if (values.help) {
    process.stdout.write(help)
    return true
  }
  const chosen = wanted(values.only)
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
  if (rounds !== undefined && (!Number.isInteger(rounds) || rounds < 1))
    throw new Error(`--rounds ${values.rounds}: a whole number above 0 is expected`)
  if (process.getuid?.() !== 0) throw new Error('the engines need root: run it with sudo')
  need('dockerd', 'apt-get install docker.io')
  need('docker', 'apt-get install docker.io, or a docker CLI on PATH')
  need('nsenter', 'apt-get install util-linux')
  need('ip', 'apt-get install iproute2')
  const date = new Date().toISOString()
  const file = values.json ?? path.join(packageRoot, 'bench-results', `${date.replace(/[:.]/g, '-')}.json`)

  const dir = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'tsd-bench-'))
  const bench = new Bench(dir, compilePayload(dir), rounds)
  for (const signal of ['SIGINT', 'SIGTERM'] satisfies NodeJS.Signals[])
    process.once(signal, () => void bench.stop().finally(() => process.exit(130)))
  const before = os.loadavg()
  const failed: string[] = []
  process.stdout.write(`tsd ${commit()} beside dockerd, ${date}, kernel ${os.release()}, ${os.cpus().length} CPUs, load ${load()}\n`)
  try {
    for (const group of chosen) {
      const began = performance.now()
      bench.say(`${group.name}: ${group.about}`)
      try {
        await group.run(bench)
      } catch (error) {
        failed.push(group.name)
        bench.note(`${group.name} failed: ${error instanceof Error ? error.message : String(error)}`)
      }
      bench.loads[group.name] = os.loadavg()[0] ?? 0
      bench.say(`  ${((performance.now() - began) / 1000).toFixed(1)} s, load ${load()}`)
    }
  } finally {
    await bench.stop()
  }
  const results = chosen.flatMap(({ figures }) => figures.map((figure) => judge(figure, bench.samples)))
  const report: Report = {
    date,
    commit: commit(),
    machine: machine(),
    load: { before, after: os.loadavg(), groups: bench.loads },
    results,
    samples: bench.samples,
    notes: bench.notes,
  }
  writeReport(file, report)
  process.stdout.write(
    `${table(results)}\nMedians, best in brackets. Load after: ${load()}. Samples: ${path.relative(process.cwd(), file)}\n`,
  )
  return failed.length === 0
}

main().then(
  (complete) => process.exit(complete ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  },
)
