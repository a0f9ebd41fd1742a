/** Finds plugins whose requirements lead back to themselves. Answers the cycle of each, as a path. */
export function findCycles(requires: ReadonlyMap<string, readonly string[]>): Map<string, string[]> {
  const cycles = new Map<string, string[]>()
  const done = new Set<string>()
  const visit = (node: string, trail: string[]): void => {
    const at = trail.indexOf(node)
    if (at >= 0) {
      const cycle = trail.slice(at)
      for (const member of cycle) if (!cycles.has(member)) cycles.set(member, [...cycle, node])
      return
    }
    if (done.has(node)) return
    for (const next of requires.get(node) ?? []) visit(next, [...trail, node])
    done.add(node)
  }
  for (const node of requires.keys()) visit(node, [])
  return cycles
}
