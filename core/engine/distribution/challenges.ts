export interface Challenge {
  /** Lower case. */
  scheme: string
  parameters: Record<string, string>
}

const maxLength = 8192

/** Reads `WWW-Authenticate` (RFC 9110): several challenges may stand in one header. What cannot be read ends it. */
export function parseChallenges(header: string): Challenge[] {
  const found: Challenge[] = []
  const text = header.slice(0, maxLength)
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    const sticky = new RegExp(pattern.source, 'y')
    sticky.lastIndex = at
    const match = sticky.exec(text) ?? undefined
    if (match !== undefined) at = sticky.lastIndex
    return match
  }
  for (;;) {
    take(/[\s,]*/)
    const parameter = take(/([A-Za-z0-9_.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))/)
    const current = found.at(-1)
    if (parameter !== undefined) {
      if (current === undefined) return found
      const value = parameter[2]?.replaceAll(/\\(.)/g, '$1') ?? parameter[3] ?? ''
      current.parameters[(parameter[1] as string).toLowerCase()] ??= value
      continue
    }
    const scheme = take(/[A-Za-z0-9!#$%&'*+.^_`|~-]+/)
    if (scheme === undefined) return found
    found.push({ scheme: scheme[0].toLowerCase(), parameters: Object.create(null) as Record<string, string> })
  }
}
