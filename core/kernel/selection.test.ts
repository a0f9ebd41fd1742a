import test from 'ava'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { chooseGraph, findPriorState, writeMarker, type GraphChoiceInput } from './selection.js'

const yes = { ok: true } as const
const no = { ok: false, reason: 'wrong file system' } as const
const candidate = (name: string, answer: { ok: true } | { ok: false; reason: string }) => ({
  name,
  source: `/d/${name}`,
  probe: () => Promise.resolve(answer),
})
const prior = (...drivers: string[]) => drivers.map((driver) => ({ driver, directory: `/data/${driver}` }))

interface Row {
  what: string
  input: Partial<GraphChoiceInput>
  chosen?: string
  fails?: RegExp
}

const all = [candidate('overlay2', yes), candidate('btrfs', no), candidate('vfs', yes), candidate('third', yes)]
const rows: Row[] = [
  { what: 'priority', input: {}, chosen: 'overlay2' },
  { what: 'priority skips refusals', input: { priority: ['btrfs', 'vfs'] }, chosen: 'vfs' },
  { what: 'priority skips what is absent', input: { priority: ['aufs', 'vfs'] }, chosen: 'vfs' },
  {
    what: 'nothing usable',
    input: { priority: ['btrfs', 'aufs'] },
    fails: /no graph driver can be used: btrfs: wrong file system; aufs: in the priority list, but not installed/,
  },
  { what: 'unlisted third party', input: { candidates: [candidate('third', yes)] }, fails: /no graph driver can be used/ },
  { what: 'listed third party', input: { priority: ['third'] }, chosen: 'third' },
  { what: 'configured', input: { configured: 'vfs', prior: prior('overlay2') }, chosen: 'vfs' },
  { what: 'configured beats several prior', input: { configured: 'vfs', prior: prior('overlay2', 'btrfs') }, chosen: 'vfs' },
  {
    what: 'configured, refused',
    input: { configured: 'btrfs' },
    fails: /graph driver btrfs \(configured\) cannot be used: wrong file system/,
  },
  {
    what: 'configured, absent',
    input: { configured: 'overlay' },
    fails: /graph driver overlay \(configured\) was not found \(did you mean "overlay2"\?\): looked in \/places/,
  },
  { what: 'prior', input: { prior: prior('third') }, chosen: 'third' },
  {
    what: 'prior, refused',
    input: { prior: prior('btrfs') },
    fails: /graph driver btrfs \(prior state in \/data\/btrfs\) cannot be used: wrong file system; set storage-driver/,
  },
  { what: 'prior, absent', input: { prior: prior('aufs') }, fails: /graph driver aufs \(prior state in \/data\/aufs\) was not found/ },
  { what: 'vfs is no prior', input: { prior: prior('vfs') }, chosen: 'overlay2' },
  { what: 'vfs beside prior', input: { prior: prior('third', 'vfs') }, chosen: 'third' },
  {
    what: 'several prior',
    input: { prior: prior('overlay2', 'btrfs') },
    fails: /several graph drivers have prior state: overlay2 \(\/data\/overlay2\), btrfs .*: set storage-driver/,
  },
]

for (const { what, input, chosen, fails } of rows) {
  test(what, async (t) => {
    const choice = chooseGraph({
      configured: '',
      priority: ['overlay2', 'aufs', 'btrfs', 'vfs'],
      prior: [],
      candidates: all,
      looked: ['/places'],
      ...input,
    })
    if (fails !== undefined) {
      await t.throwsAsync(choice, { message: fails })
      return
    }
    const { name, verdicts } = await choice
    t.is(name, chosen ?? '')
    t.deepEqual(
      verdicts.filter((v) => v.verdict === 'selected').map((v) => v.name),
      [name],
    )
    const names = verdicts.map((v) => v.name)
    t.is(new Set(names).size, names.length)
  })
}

test('markers are found whether whole or damaged', async (t) => {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-select-'))
  for (const name of ['b', 'a', 'damaged', 'none']) await fs.mkdir(path.join(root, name))
  await writeMarker(path.join(root, 'b'), { driver: 'bee', plugin: 'p', version: '1' })
  await writeMarker(path.join(root, 'b'), { driver: 'other', plugin: 'p', version: '1' })
  await writeMarker(path.join(root, 'a'), { driver: 'a', plugin: 'p', version: '1' })
  await fs.writeFile(path.join(root, 'damaged', '.tsd-driver.json'), '{"dri')
  t.deepEqual(
    (await findPriorState(root)).map((one) => one.driver),
    ['a', 'bee', 'damaged'],
  )
  t.deepEqual(await findPriorState(path.join(root, 'missing')), [])
  await fs.rm(root, { recursive: true })
})
