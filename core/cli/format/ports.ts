import type { Port } from '../../schema/engine-api.js'

interface Group {
  first: number
  last: number
}

/** PORTS of `ps`: runs of neighbouring ports become one range; what is published differently on each side stands alone. */
export function displayPorts(ports: readonly Port[]): string {
  const sorted = ports.toSorted(
    (a, b) =>
      (a.PrivatePort ?? 0) - (b.PrivatePort ?? 0) ||
      compare(a.IP ?? '', b.IP ?? '') ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
      compare(a.Type ?? '', b.Type ?? ''),
  )
  const groups = new Map<string, Group>()
  const shown: string[] = []
  const single: string[] = []
  for (const port of sorted) {
    const inside = port.PrivatePort ?? 0
    const type = port.Type ?? 'tcp'
    let key: string = type
    if (port.IP) {
      if (port.PublicPort !== inside) {
        single.push(`${address(port.IP)}:${port.PublicPort}->${inside}/${type}`)
        continue
      }
      key = `${port.IP}/${type}`
    }
    const group = groups.get(key)
    if (!group) groups.set(key, { first: inside, last: inside })
    else if (inside === group.last + 1) group.last = inside
    else {
      shown.push(rangeOf(key, group))
      groups.set(key, { first: inside, last: inside })
    }
  }
  for (const [key, group] of groups) shown.push(rangeOf(key, group))
  return [...shown, ...single].join(', ')
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const address = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip)

function rangeOf(key: string, { first, last }: Group): string {
  const slash = key.lastIndexOf('/')
  const type = key.slice(slash + 1)
  const range = first === last ? String(first) : `${first}-${last}`
  return slash < 0 ? `${range}/${type}` : `${address(key.slice(0, slash))}:${range}->${range}/${type}`
}
