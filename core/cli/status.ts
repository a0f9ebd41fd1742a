/** An exit of the CLI that is not a success. An empty message prints nothing. */
export class ExitStatus extends Error {
  constructor(
    readonly code: number,
    message = '',
  ) {
    super(message)
    this.name = 'ExitStatus'
  }
}

/** A command line that cannot be understood; `usage` adds the verb's usage line to the message. */
export class UsageError extends Error {
  constructor(
    message: string,
    readonly kind: 'flag' | 'arguments' | 'value' = 'value',
  ) {
    super(message)
    this.name = 'UsageError'
  }
}

/** What the engine answered. Docker's clients prefix it so. */
export class EngineError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
  ) {
    super(`Error response from daemon: ${reason}`)
    this.name = 'EngineError'
  }
}

/** No engine answers on the socket. */
export class NoEngine extends Error {
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message)
    this.name = 'NoEngine'
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
export const codeOf = (error: unknown): string => (error instanceof Error ? String((error as { code?: unknown }).code ?? '') : '')
