import 'reflect-metadata'
import { messageOf } from '../sdk/errors.js'
import { loadConfig } from '../platform/config.js'
import { flagRows, parseFlags, type DaemonFlags } from '../platform/config-flags.js'
import { createLogger } from '../platform/logger.js'
import { release } from '../engine/system/index.js'
import { Timings } from '../kernel/timings.js'
import { boot } from './boot.js'
import { logLevel, Reloader } from './reload.js'
import { Shutdown } from './shutdown.js'

function help(): string {
  const rows = flagRows().map(({ long, short, placeholder, description, default: value }) => {
    const left = `  ${short ? `-${short}, ` : '    '}--${long}${placeholder ? ` ${placeholder}` : ''}`
    return `${left.padEnd(36)}${description}${value ? ` (default ${value})` : ''}`
  })
  return ['Usage: tsd daemon [OPTIONS]', '', 'Run the engine in the foreground.', '', 'Options:', ...rows, ''].join('\n')
}

async function startTrace(): Promise<void> {
  // The inspector costs memory: loaded only when asked for.
  const { traceBlocking } = await import('../kernel/trace-blocking.js')
  traceBlocking({
    report: ({ milliseconds, gcMilliseconds, waitedMilliseconds, resource, name }) => {
      const collection = gcMilliseconds > 0 ? `, and ${gcMilliseconds.toFixed(1)} ms of garbage collection` : ''
      const waited = waitedMilliseconds >= 0.1 ? `, and ${waitedMilliseconds.toFixed(1)} ms without a CPU` : ''
      process.stdout.write(`blocking: ${milliseconds.toFixed(1)} ms in ${name} (${resource}${collection}${waited})\n`)
    },
  })
}

async function serve(flags: DaemonFlags): Promise<void> {
  const timings = new Timings('boot', 0)
  timings.past('load node and the engine')
  if (flags.traceBlocking) await startTrace()
  const source = { ...(flags.configFile === undefined ? {} : { file: flags.configFile }), flags: flags.values }
  const config = await timings.span('configuration', () => loadConfig(source))
  const { settings } = config
  const logger = createLogger({ level: logLevel(settings), format: settings['log-format'] as 'text' | 'json' })
  let reloader: Reloader | undefined = undefined
  // Set before the boot: without a handler the signal ends the process.
  process.on('SIGHUP', () => void reloader?.reload())
  const daemon = await boot(config, logger, timings)
  timings.finish()
  if (flags.timings) process.stdout.write(`${timings.format()}\n`)
  logger.info('API is served', { hosts: daemon.api.hosts.join(' ') })
  const applied = (): void =>
    void daemon.announceReload().catch((error: unknown) => logger.warn(`telling of the reload: ${messageOf(error)}`))
  reloader = new Reloader(source, config, { config: daemon.config, drivers: daemon.drivers, logger, applied })
  const shutdown = new Shutdown(daemon, logger)
  process.on('SIGTERM', (signal) => shutdown.request(signal))
  process.on('SIGINT', (signal) => shutdown.request(signal))
}

async function main(args: string[]): Promise<void> {
  const flags = parseFlags(args)
  if (flags.help) return void process.stdout.write(help())
  if (flags.version) return void process.stdout.write(`tsd version ${release().version}\n`)
  if (flags.validate) {
    await loadConfig({ ...(flags.configFile === undefined ? {} : { file: flags.configFile }), flags: flags.values })
    return void process.stdout.write('configuration OK\n')
  }
  if (process.getuid?.() !== 0)
    throw new Error(
      'the daemon needs root: it makes mounts, namespaces, links and cgroups. Run it with sudo (clients need only access to its socket)',
    )
  await serve(flags)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`tsd daemon: ${messageOf(error)}\n`)
  process.exit(1)
})
