import { categoryOf, isTsdError, messageOf, type ErrorCategory } from '../sdk/errors.js'

const statuses: Record<ErrorCategory, number> = {
  InvalidParameter: 400,
  NotFound: 404,
  Conflict: 409,
  NotModified: 304,
  Unauthorized: 401,
  Forbidden: 403,
  NotImplemented: 501,
  Unavailable: 503,
  DeadlineExceeded: 504,
  Cancelled: 500,
  DataLoss: 500,
  System: 500,
}

/** The one place where an error becomes an HTTP status. */
export function statusOf(error: unknown): number {
  return statuses[categoryOf(error)] ?? 500
}

/** What the client reads. A plugin at fault is named, unless the message does so already. */
export function errorText(error: unknown): string {
  const message = messageOf(error) || 'unknown error'
  if (!isTsdError(error) || error.plugin === undefined || message.includes(error.plugin)) return message
  return `${error.plugin}${error.call === undefined ? '' : ` (${error.call})`}: ${message}`
}
