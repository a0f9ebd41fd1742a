/** Semantic versions and the ranges that manifests use: `^1.2`, `~1.2.3`, `>=1 <3`, `1.x`, `*`, alternatives by `||`. */
type Version = [number, number, number]

const versionPattern = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/
const comparatorPattern = /^(\^|~|>=|<=|>|<|=)?v?(\d{1,9}|[x*])(?:\.(\d{1,9}|[x*]))?(?:\.(\d{1,9}|[x*]))?$/

export function isVersion(text: string): boolean {
  return versionPattern.test(text)
}

function parseVersion(text: string): Version {
  const match = versionPattern.exec(text)
  if (match === null) throw new Error(`not a version: ${text}`)
  return [Number(match[1]), Number(match[2]), Number(match[3])]
}

const compare = (a: Version, b: Version): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]

/** Half-open interval of one comparator. */
function interval(comparator: string): { from: Version; to: Version } | undefined {
  const match = comparatorPattern.exec(comparator)
  if (match === null) return undefined
  const given = match.slice(2, 5).filter((part): part is string => part !== undefined && part !== 'x' && part !== '*')
  const numbers = given.map(Number)
  const from: Version = [numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0]
  const infinity: Version = [Infinity, 0, 0]
  const zero: Version = [0, 0, 0]
  if (numbers.length === 0) return { from: zero, to: infinity }
  const bump = (index: number): Version => [
    from[0] + (index === 0 ? 1 : 0),
    index === 0 ? 0 : from[1] + (index === 1 ? 1 : 0),
    index < 2 ? 0 : from[2] + 1,
  ]
  const widest = bump(numbers.length - 1)
  switch (match[1]) {
    case '^': {
      const first = from.findIndex((part) => part !== 0)
      return { from, to: bump(first < 0 ? numbers.length - 1 : Math.min(first, numbers.length - 1)) }
    }
    case '~':
      return { from, to: bump(Math.min(1, numbers.length - 1)) }
    case '>=':
      return { from, to: infinity }
    case '>':
      return { from: widest, to: infinity }
    case '<':
      return { from: zero, to: from }
    case '<=':
      return { from: zero, to: widest }
    default:
      return { from, to: widest }
  }
}

function parseRange(range: string): { from: Version; to: Version }[][] | undefined {
  if (range.length > 100) return undefined
  const alternatives = range.split('||').map((part) => {
    const comparators = part
      .trim()
      .split(/\s+/)
      .filter((text) => text !== '')
    return (comparators.length === 0 ? ['*'] : comparators).map(interval)
  })
  const complete = alternatives.every((part) => part.every((one) => one !== undefined))
  return complete ? (alternatives as { from: Version; to: Version }[][]) : undefined
}

export function isRange(range: string): boolean {
  return parseRange(range) !== undefined
}

/** True when the version lies in the range; a malformed range holds nothing. */
export function satisfies(version: string, range: string): boolean {
  const parsed = parseVersion(version)
  return (parseRange(range) ?? []).some((part) => part.every(({ from, to }) => compare(parsed, from) >= 0 && compare(parsed, to) < 0))
}
