import fs from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { deadlineExceeded, notImplemented } from 'tsd-engine/sdk'
import type { CgroupPaths } from './cgroups.js'

const FREEZE_DEADLINE = 10_000

function files(
  cgroups: CgroupPaths | undefined,
): { control: string; freeze: string; thaw: string; frozen(): Promise<boolean | undefined> } | undefined {
  const [dir] = cgroups?.dirs ?? []
  if (cgroups?.version === 2 && dir !== undefined)
    return {
      control: `${dir}/cgroup.freeze`,
      freeze: '1',
      thaw: '0',
      frozen: async () => /^frozen 1$/m.test(await fs.readFile(`${dir}/cgroup.events`, 'utf8')),
    }
  const freezer = cgroups?.byController.freezer
  if (freezer === undefined) return undefined
  const control = `${freezer}/freezer.state`
  return {
    control,
    freeze: 'FROZEN',
    thaw: 'THAWED',
    frozen: async () => {
      const state = (await fs.readFile(control, 'utf8')).trim()
      return state === 'FROZEN' ? true : state === 'THAWED' ? false : undefined
    },
  }
}

export async function isFrozen(cgroups: CgroupPaths | undefined): Promise<boolean> {
  const frozen = await files(cgroups)
    ?.frozen()
    .catch(() => false)
  // Half-way through a freeze the container does not run any more.
  return frozen !== false && frozen !== undefined
}

export async function freeze(id: string, cgroups: CgroupPaths | undefined, on: boolean): Promise<void> {
  const group = files(cgroups)
  if (!group) throw notImplemented(`cannot pause container ${id}: the machine has no freezer cgroup`)
  const deadline = Date.now() + FREEZE_DEADLINE
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    await fs.writeFile(group.control, on ? group.freeze : group.thaw)
    if ((await group.frozen()) === on) return
    if (Date.now() > deadline) {
      if (on) await fs.writeFile(group.control, group.thaw)
      throw deadlineExceeded(`container ${id} could not be ${on ? 'paused' : 'unpaused'} within ${FREEZE_DEADLINE / 1000} s`)
    }
    await sleep(wait)
  }
}
