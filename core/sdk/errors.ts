/**
 * Error categories shared by the engine and every driver. A driver throws one of these (or an error
 * branded like it) and the category survives the process, the HTTP wire and a second copy of the SDK.
 */
const BRAND = Symbol.for('tsd.error')

export const errorCategories = [
  'InvalidParameter',
  'NotFound',
  'Conflict',
  'NotModified',
  'Unauthorized',
  'Forbidden',
  'NotImplemented',
  'Unavailable',
  'DeadlineExceeded',
  'Cancelled',
  'DataLoss',
  'System',
] as const

export type ErrorCategory = (typeof errorCategories)[number]

export interface TsdErrorOptions {
  cause?: unknown
  /** Name of the driver or plugin at fault, when one is. */
  plugin?: string
  /** The call that failed, e.g. `VolumeDriver.Mount`. */
  call?: string
  /** errno name such as `EBUSY`, when the kernel said it. */
  code?: string
}

/** An error whose category decides how it is reported (core/api/status.ts maps it to HTTP). */
export class TsdError extends Error {
  readonly [BRAND] = true
  readonly category: ErrorCategory
  readonly plugin: string | undefined
  readonly call: string | undefined
  readonly code: string | undefined

  constructor(category: ErrorCategory, message: string, options: TsdErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = category
    this.category = category
    this.plugin = options.plugin
    this.call = options.call
    this.code = options.code
  }
}

/** True for errors of this copy of the SDK and of any other copy loaded in the process. */
export function isTsdError(value: unknown): value is TsdError {
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true
}

/** Category of any thrown value; what is not ours is `System`. */
export function categoryOf(value: unknown): ErrorCategory {
  return isTsdError(value) ? value.category : 'System'
}

/** True when the other side may never have heard the call, or not have finished it: what it would say is not known. */
export function isOutOfReach(value: unknown): boolean {
  return ['Unavailable', 'DeadlineExceeded', 'Cancelled'].includes(categoryOf(value))
}

/** Message of any thrown value. */
export function messageOf(value: unknown): string {
  return value instanceof Error ? value.message : String(value)
}

const factory =
  (category: ErrorCategory) =>
  (message: string, options?: TsdErrorOptions): TsdError =>
    new TsdError(category, message, options)

export const invalidParameter = factory('InvalidParameter')
export const notFound = factory('NotFound')
export const conflict = factory('Conflict')
export const notModified = factory('NotModified')
export const unauthorized = factory('Unauthorized')
export const forbidden = factory('Forbidden')
export const notImplemented = factory('NotImplemented')
export const unavailable = factory('Unavailable')
export const deadlineExceeded = factory('DeadlineExceeded')
export const cancelled = factory('Cancelled')
export const dataLoss = factory('DataLoss')
export const systemError = factory('System')
