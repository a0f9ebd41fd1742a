// Engines leave out what is empty; Docker's client has typed structs, whose fields are there all the same. A template may name them.
import fs from 'node:fs'

interface Property {
  type?: string
}

let zeros: Map<string, unknown> | undefined

function load(): Map<string, unknown> {
  const file = new URL('../../schema/engine-api-v1.51.json', import.meta.url)
  const found = new Map<string, unknown>()
  const visit = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return
    const { properties } = schema as { properties?: Record<string, Property> }
    for (const [name, property] of Object.entries(properties ?? {})) if (!found.has(name)) found.set(name, zeroOf(property))
    for (const part of Object.values(schema)) visit(part)
  }
  visit((JSON.parse(fs.readFileSync(file, 'utf8')) as { definitions: unknown }).definitions)
  return found
}

function zeroOf({ type }: Property): unknown {
  return { string: '', integer: 0, number: 0, boolean: false, array: [] as unknown[] }[type as 'string'] ?? null
}

/** The zero value of a field that the API knows by this name; undefined for any other. */
export function zeroField(name: string): unknown {
  zeros ??= load()
  return zeros.get(name)
}
