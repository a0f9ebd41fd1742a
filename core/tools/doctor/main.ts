// `tsd doctor`: what this machine can do, line by line, and which driver each line matters to.
import { parseArgs } from 'node:util'
import { messageOf } from '../../sdk/errors.js'
import { examine } from './examine.js'
import { thisMachine } from './machine.js'
import { blocked, json, table, verdict } from './report.js'

const help = `Usage:  tsd doctor [OPTIONS]

Check what this machine can do, and what to do about what it cannot.
Exits with 1 when something that every container needs is missing.

Options:
      --data-root path   Where the engine's data is, or will be (default "/var/lib/tsd")
      --format string    'table' or 'json' (default "table")
`

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      format: { type: 'string', default: 'table' },
      'data-root': { type: 'string', default: '/var/lib/tsd' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  if (values.format !== 'table' && values.format !== 'json') throw new Error(`unknown format "${values.format}": must be table or json`)
  const machine = thisMachine(values['data-root'])
  const findings = await examine(machine)
  process.stdout.write(values.format === 'json' ? json(findings) : table(findings) + verdict(findings, machine.root))
  return blocked(findings).length > 0 ? 1 : 0
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`tsd doctor: ${messageOf(error)}\n\nRun 'tsd doctor --help' for more information\n`)
    process.exit(125)
  },
)
