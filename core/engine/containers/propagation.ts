import { readFile, realpath } from 'node:fs/promises'
import { invalidParameter } from '../../sdk/errors.js'

interface SourceMount {
  target: string
  shared: boolean
  slave: boolean
}

/** mountinfo writes blanks, newlines and backslashes in octal. */
const unescape = (field: string): string => field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))

/** The mount that a path lies on, as the mount table has it. */
function mountOf(table: string, path: string): SourceMount | undefined {
  let found: SourceMount | undefined
  for (const line of table.split('\n')) {
    const fields = line.split(' ')
    const target = unescape(fields[4] ?? '')
    if (target === '' || !(target === '/' || path === target || path.startsWith(`${target}/`))) continue
    // Of several on one target the last is the one that is seen.
    if (found && found.target.length > target.length) continue
    const tags = fields.slice(6, fields.indexOf('-', 6))
    found = { target, shared: tags.some((tag) => tag.startsWith('shared:')), slave: tags.some((tag) => tag.startsWith('master:')) }
  }
  return found
}

/** A bind can only pass on mounts that its source's mount passes on: the kernel would take it and nothing would ever arrive. */
export async function checkPropagation(source: string, propagation: string): Promise<void> {
  const wanted = /^r?(shared|slave)$/.exec(propagation)?.[1]
  if (wanted === undefined) return
  const mount = mountOf(await readFile('/proc/self/mountinfo', 'utf8'), await realpath(source))
  if (!mount || mount.shared || (wanted === 'slave' && mount.slave)) return
  throw invalidParameter(
    `path ${source} is mounted on ${mount.target} but it is not a ${wanted === 'slave' ? 'shared or slave' : 'shared'} mount`,
  )
}
