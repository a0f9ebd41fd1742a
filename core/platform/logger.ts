import { type DestinationStream, type Logger as Pino, destination as pinoDestination, pino } from 'pino'
import type { Logger } from '../sdk/ports.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'fatal']

export interface DaemonLogger extends Logger {
  level: LogLevel
  /** A logger that adds these fields to every line. It follows the level of its parent. */
  child(fields: Record<string, unknown>): Logger
  /** Writes what is buffered, synchronously: before exit. */
  flush(): void
}

export interface LoggerOptions {
  level?: LogLevel
  /** `text` as dockerd prints, or `json`. */
  format?: 'json' | 'text'
  /** File descriptor or path; default standard error. */
  to?: number | string
}

/** More than this waiting for a stuck reader is dropped rather than kept in memory. */
const maxBuffered = 4 * 1024 * 1024

const quote = (value: unknown): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return /^[A-Za-z0-9_.:/@+-]+$/.test(text) ? text : JSON.stringify(text)
}

function toText(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${quote(value)}`)
  return `time=${JSON.stringify(time)} level=${level === 'warn' ? 'warning' : String(level)} msg=${JSON.stringify(msg ?? '')}${rest.join('')}\n`
}

/** Errors become their message, and their stack where debugging. */
function readable(fields: Record<string, unknown> | undefined, debug: boolean): Record<string, unknown> | undefined {
  if (fields === undefined) return undefined
  const result: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) {
    if (value instanceof Error) {
      result[key] = value.message
      if (debug && value.stack !== undefined) result['stack'] = value.stack
    } else result[key] = typeof value === 'bigint' ? String(value) : value
  }
  return result
}

class PinoLogger implements Logger {
  constructor(
    protected readonly root: Pino,
    private readonly bindings: Record<string, unknown> | undefined,
  ) {}

  debug(message: string, fields?: Record<string, unknown>): void {
    this.write('debug', message, fields)
  }

  info(message: string, fields?: Record<string, unknown>): void {
    this.write('info', message, fields)
  }

  warn(message: string, fields?: Record<string, unknown>): void {
    this.write('warn', message, fields)
  }

  error(message: string, fields?: Record<string, unknown>): void {
    this.write('error', message, fields)
  }

  private write(level: LogLevel, message: string, fields: Record<string, unknown> | undefined): void {
    if (!this.root.isLevelEnabled(level)) return
    this.root[level]({ ...this.bindings, ...readable(fields, this.root.isLevelEnabled('debug')) }, message)
  }
}

class RootLogger extends PinoLogger implements DaemonLogger {
  constructor(
    root: Pino,
    private readonly sink: { flushSync(): void },
  ) {
    super(root, undefined)
  }

  get level(): LogLevel {
    return this.root.level as LogLevel
  }

  set level(level: LogLevel) {
    this.root.level = level
  }

  child(fields: Record<string, unknown>): Logger {
    return new PinoLogger(this.root, fields)
  }

  flush(): void {
    try {
      this.sink.flushSync()
    } catch {
      // Standard error may be gone; there is nowhere to say so.
    }
  }
}

/** Never waits for whoever reads the log: lines are written off the loop. */
export function createLogger(options: LoggerOptions = {}): DaemonLogger {
  const sink = pinoDestination({ dest: options.to ?? 2, sync: false, maxLength: maxBuffered, mkdir: typeof options.to === 'string' })
  sink.on('error', () => undefined)
  const text: DestinationStream = { write: (line) => void sink.write(toText(line)) }
  const root = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.format === 'json' ? sink : text,
  )
  return new RootLogger(root, sink)
}
