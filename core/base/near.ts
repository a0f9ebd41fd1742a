/** Edits (insert, delete, replace, swap of neighbours) that turn one text into the other; stops counting beyond `limit`. */
export function editDistance(a: string, b: string, limit = 8): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min((previous[j] as number) + 1, (row[j - 1] as number) + 1, (previous[j - 1] as number) + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) best = Math.min(best, (before[j - 2] as number) + 1)
      row.push(best)
    }
    before = previous
    previous = row
  }
  return previous[b.length] as number
}

/** The candidates that a typing error most likely meant, at most `count`. */
export function nearNames(name: string, candidates: Iterable<string>, count = 3): string[] {
  const wanted = name.slice(0, 64).toLowerCase()
  const allowed = Math.max(1, Math.ceil(wanted.length / 3))
  const scored: { candidate: string; distance: number }[] = []
  for (const candidate of new Set(candidates)) {
    const known = candidate.toLowerCase()
    const contains = wanted.length >= 3 && (known.startsWith(wanted) || wanted.startsWith(known))
    const distance = contains ? 1 : editDistance(wanted, known, allowed)
    if (distance <= allowed) scored.push({ candidate, distance })
  }
  scored.sort((x, y) => x.distance - y.distance || (x.candidate < y.candidate ? -1 : 1))
  return scored
    .filter((one) => one.distance === scored[0]?.distance)
    .slice(0, count)
    .map((one) => one.candidate)
}

/** ` (did you mean "x" or "y"?)`, or nothing. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const near = nearNames(name, candidates)
  return near.length === 0 ? '' : ` (did you mean ${near.map((n) => JSON.stringify(n)).join(' or ')}?)`
}
