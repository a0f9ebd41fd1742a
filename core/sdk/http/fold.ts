// Plugins answer with any spelling of a key, as Go reads them: `Mountpoint`, `mountpoint`. We write the exact one.

/** Members of a JSON object under the spelling asked for. `null` and absent are left out; a later duplicate wins. */
export function fold<K extends string>(value: unknown, keys: readonly K[]): Partial<Record<K, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {}
  const byLower = new Map<string, K>(keys.map((key) => [key.toLowerCase(), key]))
  const result: Partial<Record<K, unknown>> = {}
  for (const [key, member] of Object.entries(value)) {
    const wanted = byLower.get(key.toLowerCase())
    if (wanted !== undefined && member !== null && member !== undefined) result[wanted] = member
  }
  return result
}

/** A member that has to be a string; absent is empty, as in Go. */
export function stringOf(value: unknown, name: string): string {
  if (value === undefined || value === null) return ''
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, not ${typeof value}`)
  return value
}

export function booleanOf(value: unknown, name: string): boolean {
  if (value === undefined || value === null) return false
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be a boolean, not ${typeof value}`)
  return value
}

export function numberOf(value: unknown, name: string): number {
  if (value === undefined || value === null) return 0
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${typeof value}`)
  return value
}

export function listOf(value: unknown, name: string): unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new TypeError(`${name} must be a list`)
  return value
}

/** A string map; absent is empty. */
export function stringsOf(value: unknown, name: string): Record<string, string> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError(`${name} must be an object`)
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, stringOf(member, `${name}.${key}`)]))
}

export function recordOf(value: unknown, name: string): Record<string, unknown> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError(`${name} must be an object`)
  return value as Record<string, unknown>
}
