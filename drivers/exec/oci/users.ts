import { encodePlan } from 'tsd-engine/native'
import { invalidParameter, type OciProcess, type OciUser, type Spawner } from 'tsd-engine/sdk'

const MAX_FILE = 4 << 20
const DEADLINE = 10_000
const ENOENT = 2

/** A file of a foreign root, read by a helper that is chrooted into it: links lead nowhere else. */
async function readInside(spawner: Spawner, root: string, file: string): Promise<string> {
  const plan = encodePlan({
    host: [
      { op: 'openPath', slot: 0, path: root },
      { op: 'chroot', root: 0 },
      { op: 'readFile', path: file, max: MAX_FILE, ignore: [ENOENT] },
    ],
  })
  return Buffer.from((await spawner.run(plan, { deadline: DEADLINE, name: `read ${file} of a container` })).output).toString('utf8')
}

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

/** Docker's rules for `user[:group]`, in names or numbers, and for --group-add. */
export function lookUpUser(spec: string, additional: readonly string[], passwd: string, group: string): { user: OciUser; home: string } {
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
    throw invalidParameter(`unable to find user ${userName}: no matching entries in passwd file`)
  const found = account ? Number(account.fields[1]) : (uid ?? 0)
  const login = account?.name ?? ''

  let gid = account ? Number(account.fields[2]) : 0
  const more = new Set<number>()
  if (groupName !== '') {
    const entry = groups.find(({ name, fields }) => name === groupName || fields[1] === groupName)
    const number = entry ? Number(entry.fields[1]) : numeric(groupName)
    if (number === undefined) throw invalidParameter(`unable to find group ${groupName}: no matching entries in group file`)
    gid = number
  } else if (login !== '') {
    for (const { fields } of groups) if (fields[2]?.split(',').includes(login)) more.add(Number(fields[1]))
  }
  for (const wanted of additional) {
    const entry = groups.find(({ name, fields }) => name === wanted || fields[1] === wanted)
    const number = entry ? Number(entry.fields[1]) : numeric(wanted)
    if (number === undefined) throw invalidParameter(`unable to find group ${wanted}: no matching entries in group file`)
    more.add(number)
  }
  const list = [gid, ...[...more].filter((id) => id !== gid)]
  return { user: { uid: found, gid, additionalGids: list }, home: account?.fields[4] || '/' }
}

/** A process as an OCI runtime takes it: numbers for names, HOME set. */
export async function resolveProcess(spawner: Spawner, process: OciProcess, root: string): Promise<OciProcess> {
  const { username, additionalGroups, ...rest } = process.user
  if (username === undefined) return { ...process, user: rest }
  const [passwd, group] = await Promise.all([readInside(spawner, root, '/etc/passwd'), readInside(spawner, root, '/etc/group')])
  const { user, home } = lookUpUser(username, additionalGroups ?? [], passwd, group)
  const env = process.env ?? []
  return {
    ...process,
    user: { ...user, ...(rest.umask === undefined ? {} : { umask: rest.umask }) },
    env: env.some((entry) => entry.startsWith('HOME=')) ? env : [...env, `HOME=${home}`],
  }
}
