import { InvalidInput } from './invalid-input.js'

interface Entry {
  name: string
  fields: string[]
}

const entries = (text: string): Entry[] =>
  text
    .split('\n')
    .filter((line) => line.includes(':') && !line.startsWith('#'))
    .map((line) => {
      const [name = '', ...fields] = line.split(':')
      return { name, fields }
    })

const numeric = (text: string): number | undefined => (/^\d{1,10}$/.test(text) && Number(text) <= 0x7fffffff ? Number(text) : undefined)

export interface Account {
  uid: number
  gid: number
  additionalGids: number[]
}

/** Docker's rules for `user[:group]`, in names or numbers, and for --group-add. */
export function lookUpUser(spec: string, additional: readonly string[], passwd: string, group: string): { user: Account; home: string } {
  const colon = spec.indexOf(':')
  const userName = colon < 0 ? spec : spec.slice(0, colon)
  const groupName = colon < 0 ? '' : spec.slice(colon + 1)
  const users = entries(passwd)
  const groups = entries(group)

  const uid = numeric(userName)
  const account = users.find(({ name, fields }) =>
    userName === '' ? fields[1] === '0' : name === userName || (uid !== undefined && fields[1] === userName),
  )
  if (!account && uid === undefined && userName !== '')
    throw new InvalidInput(`unable to find user ${userName}: no matching entries in passwd file`)
  const found = account ? Number(account.fields[1]) : (uid ?? 0)
  const login = account?.name ?? ''

  let gid = account ? Number(account.fields[2]) : 0
  const more = new Set<number>()
  if (groupName !== '') {
    const entry = groups.find(({ name, fields }) => name === groupName || fields[1] === groupName)
    const number = entry ? Number(entry.fields[1]) : numeric(groupName)
    if (number === undefined) throw new InvalidInput(`unable to find group ${groupName}: no matching entries in group file`)
    gid = number
  } else if (login !== '') {
    for (const { fields } of groups) if (fields[2]?.split(',').includes(login)) more.add(Number(fields[1]))
  }
  for (const wanted of additional) {
    const entry = groups.find(({ name, fields }) => name === wanted || fields[1] === wanted)
    const number = entry ? Number(entry.fields[1]) : numeric(wanted)
    if (number === undefined) throw new InvalidInput(`unable to find group ${wanted}: no matching entries in group file`)
    more.add(number)
  }
  const list = [gid, ...[...more].filter((id) => id !== gid)]
  return { user: { uid: found, gid, additionalGids: list }, home: account?.fields[4] || '/' }
}
