import { invalidParameter } from '../../sdk/errors.js'
import type { TreesPort } from '../ports/index.js'
import type { Owner } from './layer-place.js'

const largestFile = 1 << 20
const largestId = 0xfffffffe

async function lookUp(trees: TreesPort, root: string, file: string, name: string, what: 'uid' | 'gid'): Promise<number> {
  const noun = what === 'uid' ? 'user' : 'group'
  if (/^\d+$/.test(name)) {
    if (Number(name) > largestId) throw invalidParameter(`unable to convert uid/gid chown string to host mapping: ${name} is out of range`)
    return Number(name)
  }
  const text = (await trees.read(root, file, largestFile))?.toString() ?? ''
  const id = text
    .split('\n')
    .map((line) => line.split(':'))
    .find(([first]) => first === name)?.[2]
  if (id === undefined || !/^\d{1,10}$/.test(id))
    throw invalidParameter(
      `unable to convert uid/gid chown string to host mapping: can't find ${what} for ${noun} ${name}: no such ${noun}: ${name}`,
    )
  return Number(id)
}

/** `user[:group]` by name or number, looked up in the image. Without a group the user's name stands for it, as Docker has it. */
export async function ownerFrom(trees: TreesPort, root: string, chown: string): Promise<Owner> {
  const [user = '', group = user, ...rest] = chown.split(':')
  if (rest.length > 0 || user === '' || group === '') throw invalidParameter(`invalid chown string format: ${chown}`)
  const [uid, gid] = await Promise.all([lookUp(trees, root, 'etc/passwd', user, 'uid'), lookUp(trees, root, 'etc/group', group, 'gid')])
  return { uid, gid }
}
