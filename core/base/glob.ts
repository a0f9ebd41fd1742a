/** One character class `[...]` starting at `at`; answers whether it holds `c`, and where it ends. */
function inClass(pattern: string, at: number, c: string): { end: number; holds: boolean } | undefined {
  let p = at + 1
  const negated = pattern[p] === '^'
  if (negated) p++
  let holds = false
  for (let first = true; first || pattern[p] !== ']'; first = false) {
    const one = (): string | undefined => (pattern[p] === '\\' ? pattern[++p] : pattern[p])
    const low = one()
    if (low === undefined) return undefined
    p++
    let high = low
    if (pattern[p] === '-' && pattern[p + 1] !== ']') {
      p++
      const upper = one()
      if (upper === undefined) return undefined
      high = upper
      p++
    }
    if (low <= c && c <= high) holds = true
  }
  return { end: p + 1, holds: holds !== negated }
}

/**
 * Go's filepath.Match: `*`, `?`, `[a-z]`, `[^a]` and `\x`, none of which but the last takes a slash. Takes time in proportion to both lengths: never turned into a
 * regular expression that a pattern could make slow.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let [p, t, star, mark] = [0, 0, -1, 0]
  while (t < text.length) {
    const c = text[t] as string
    let next = -1
    if (pattern[p] === '*') {
      star = p++
      mark = t
      continue
    }
    if (pattern[p] === '?') next = c === '/' ? -1 : p + 1
    else if (pattern[p] === '[') {
      const found = inClass(pattern, p, c)
      if (found === undefined) return false
      if (found.holds && c !== '/') next = found.end
    } else if (pattern[p] === '\\') {
      if (pattern[p + 1] === c) next = p + 2
    } else if (pattern[p] === c) next = p + 1
    if (next >= 0) {
      p = next
      t++
    } else if (star >= 0 && text[mark] !== '/') {
      p = star + 1
      t = ++mark
    } else return false
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}
