import { parseDecimalSize } from '../../base/sizes.js'
import { invalidParameter } from '../errors.js'

const booleans: Record<string, boolean> = {
  ...Object.fromEntries(['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true])),
  ...Object.fromEntries(['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false])),
}

/** Refuses what a driver does not know, in Docker's words. */
export function checkKnown(driver: string, known: readonly string[], config: Record<string, string>): void {
  const unknown = Object.keys(config).find((key) => !known.includes(key))
  if (unknown !== undefined) throw invalidParameter(`unknown log opt '${unknown}' for ${driver} log driver`)
}

/** Bytes; `-1`: never rotate, which is 0. */
export function sizeOption(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (text === '-1') return 0
  const bytes = parseDecimalSize(text)
  if (bytes <= 0) throw invalidParameter(`${name} must be a positive number, not '${text}'`)
  return bytes
}

export function countOption(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^[+-]?\d{1,9}$/.test(text)) throw invalidParameter(`${name} must be a number, not '${text}'`)
  const files = Number(text)
  if (files < 1) throw invalidParameter(`${name} cannot be less than 1`)
  return files
}

export function flagOption(name: string, text: string | undefined, fallback: boolean): boolean {
  if (text === undefined) return fallback
  const value = Object.hasOwn(booleans, text) ? booleans[text] : undefined
  if (value === undefined) throw invalidParameter(`${name} must be true or false, not '${text}'`)
  return value
}
