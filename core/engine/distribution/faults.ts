// What goes wrong with a registry, told apart by what to do next.
import { familiarName, familiarString, type Reference } from '../../base/reference.js'
import { type ErrorCategory, notFound, TsdError, type TsdErrorOptions, unauthorized } from '../../sdk/errors.js'

/** Text of a registry goes to people's terminals. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, 1024)
}

/** The registry breaks the protocol, or lies. Asking again does not help. */
export class RegistryFault extends TsdError {
  constructor(message: string, options: TsdErrorOptions = {}) {
    super('InvalidParameter', message, options)
  }
}

/** Nobody can be reached there, or the connection broke: another address may do, or another attempt. */
export class ConnectionFault extends TsdError {
  constructor(
    message: string,
    readonly temporary: boolean,
    options: TsdErrorOptions = {},
  ) {
    super('Unavailable', message, options)
  }
}

/** The registry answered, and it was no. */
export class RegistryRefusal extends TsdError {
  constructor(
    readonly status: number,
    /** The code of its first error, such as MANIFEST_UNKNOWN; empty: it gave none. */
    readonly reason: string,
    message: string,
    /** Seconds that it asked to be left alone. */
    readonly retryAfter: number | undefined,
  ) {
    super(categories[status] ?? (status >= 500 ? 'Unavailable' : 'InvalidParameter'), message)
  }

  get temporary(): boolean {
    return this.status === 429 || this.status === 408 || this.status >= 500
  }
}

const categories: Record<number, ErrorCategory> = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound' }

/** Asking again may help. */
export function isTemporary(error: unknown): boolean {
  return (error instanceof ConnectionFault || error instanceof RegistryRefusal) && error.temporary
}

/** Docker's words for a refusal: `manifest unknown: manifest unknown`. */
export function refusalOf(status: number, statusText: string, body: string, retryAfter: string | undefined, what: string): RegistryRefusal {
  const seconds = /^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) : undefined
  const first = firstError(body)
  if (first !== undefined) {
    const label = first.code.toLowerCase().replaceAll('_', ' ')
    return new RegistryRefusal(status, first.code, printable(`${label}: ${first.message === '' ? label : first.message}`), seconds)
  }
  const usual: Record<number, string> = {
    401: 'unauthorized: authentication required',
    403: 'denied: requested access to the resource is denied',
    429: 'toomanyrequests: too many requests to the registry',
  }
  return new RegistryRefusal(
    status,
    '',
    usual[status] ?? `${what}: received unexpected HTTP status: ${status} ${printable(statusText)}`.trim(),
    seconds,
  )
}

function firstError(body: string): { code: string; message: string } | undefined {
  try {
    const { errors } = JSON.parse(body) as { errors?: unknown }
    const [first] = Array.isArray(errors) ? (errors as unknown[]) : []
    const { code, message } = (first ?? {}) as { code?: unknown; message?: unknown }
    if (typeof code !== 'string' || !/^[A-Za-z0-9_]{1,64}$/.test(code)) return undefined
    return { code, message: typeof message === 'string' ? message : '' }
  } catch {
    // Not the error format of registries.
    return undefined
  }
}

/** A failed pull in Docker's words. */
export function pullError(error: unknown, reference: Reference): unknown {
  if (!(error instanceof RegistryRefusal)) return error
  const cause = { cause: error }
  const named = familiarName(reference)
  switch (error.reason) {
    case 'DENIED':
      return notFound(`pull access denied for ${named}, repository does not exist or may require 'docker login': ${error.message}`, cause)
    case 'MANIFEST_UNKNOWN':
      return notFound(`manifest for ${familiarString(reference)} not found: ${error.message}`, cause)
    case 'NAME_UNKNOWN':
      return notFound(`repository ${named} not found: ${error.message}`, cause)
  }
  if (error.status === 403)
    return notFound(`pull access denied for ${named}, repository does not exist or may require 'docker login': ${error.message}`, cause)
  if (error.status === 404)
    return notFound(`manifest for ${familiarString(reference)} not found: manifest unknown: manifest unknown`, cause)
  if (error.status === 401) return unauthorized(error.message, cause)
  return error
}
