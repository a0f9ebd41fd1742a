const BRAND: unique symbol = Symbol.for('tsd.error')

/**
 * A text that does not parse. Carries the brand and category that core/sdk/errors recognises, because core/base may not import it:
 * callers need not wrap it to answer "bad parameter".
 */
export class InvalidInput extends Error {
  readonly [BRAND] = true
  readonly category = 'InvalidParameter'

  constructor(message: string) {
    super(message)
    this.name = 'InvalidParameter'
  }
}
