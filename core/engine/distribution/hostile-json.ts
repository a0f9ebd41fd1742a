import { isTsdError } from '../../sdk/errors.js'
import { RegistryFault } from './faults.js'

const maxDepth = 64

/** Nested far beyond anything meant for us. Braces in strings do not count. */
function tooDeep(data: Uint8Array): boolean {
  let depth = 0
  let inString = false
  for (let at = 0; at < data.length; at++) {
    const c = data[at]
    if (inString) {
      if (c === 0x5c) at++
      else if (c === 0x22) inString = false
    } else if (c === 0x22) inString = true
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > maxDepth) return true
    } else if (c === 0x7d || c === 0x5d) depth--
  }
  return false
}

export type Json = Record<string, unknown>

/** A JSON object that a registry sent. */
export function parseObject(data: Uint8Array, what: string): Json {
  try {
    if (tooDeep(data)) throw new RegistryFault(`invalid ${what}: it is nested more than ${maxDepth} deep`)
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  } catch (error) {
    if (isTsdError(error)) throw error
    throw new RegistryFault(`invalid ${what}: it is no JSON`, { cause: error })
  }
  throw new RegistryFault(`invalid ${what}: it is no JSON object`)
}
