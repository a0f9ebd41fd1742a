import { encodePlan } from 'tsd-engine/native'
import { lookUpUser, type OciProcess, type Spawner } from 'tsd-engine/sdk'

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
