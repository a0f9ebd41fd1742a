import { execFile } from 'node:child_process'
import { conflict, invalidParameter, systemError } from '../../sdk/errors.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'

/** Options by which ps would stop listing pids, or read or write elsewhere. */
const allowedArgs = /^[a-zA-Z0-9 ,=:_%+.-]*$/

function run(args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('ps', args, { timeout: 10_000, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error) reject(systemError(`ps: ${stderr.trim() || error.message}`))
      else resolve(stdout)
    })
  })
}

/** The container's processes as the host's ps prints them. */
export async function topContainer(
  ctx: ContainersContext,
  container: Container,
  psArgs: string,
): Promise<{ Titles: string[]; Processes: string[][] }> {
  const { running, record } = container
  if (!running || !container.isLive) throw conflict(`container ${record.id} is not running`)
  if (record.state.status === 'restarting') throw conflict(`container ${record.id} is restarting`)
  if (!allowedArgs.test(psArgs)) throw invalidParameter(`invalid ps arguments: ${psArgs}`)
  const pids = new Set((await running.exec.driver.processes(record.id)).map(String))
  const output = await run((psArgs || '-ef').split(' ').filter((arg) => arg !== ''))
  const [header = '', ...lines] = output.split('\n')
  const titles = header.trim().split(/\s+/)
  const pidColumn = titles.indexOf('PID')
  if (pidColumn < 0) throw invalidParameter(`couldn't find PID field in ps output: the arguments "${psArgs}" leave it out`)
  const processes = lines
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const fields = line.trim().split(/\s+/)
      return [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')]
    })
    .filter((fields) => pids.has(fields[pidColumn] ?? ''))
  return { Titles: titles, Processes: processes }
}
