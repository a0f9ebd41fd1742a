import test from 'ava'
import { ClassicLevel } from 'classic-level'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { categoryOf } from '../sdk/errors.js'
import { LevelMetadataStore } from './metadata-store.js'

const directory = () => fs.mkdtemp(path.join(os.tmpdir(), 'kernel-meta-'))

test('documents, prefixes and atomic batches survive a reopen', async (t) => {
  const dir = await directory()
  let store = await LevelMetadataStore.open(path.join(dir, 'meta'))
  await store.batch(
    [
      { put: 'container/b', value: { n: 2 } },
      { put: 'container/a', value: { n: 1 } },
      { put: 'containers', value: 0 },
    ],
    { sync: true },
  )
  await Promise.all([
    store.batch([{ put: 'x', value: 1 }], { sync: false }),
    store.batch([{ put: 'x', value: 2 }], { sync: true }),
    store.batch([{ del: 'container/a' }, { put: 'container/ü😀', value: 3 }], { sync: false }),
  ])
  await store.close()
  store = await LevelMetadataStore.open(path.join(dir, 'meta'))
  t.is(await store.get('x'), 2)
  t.is(await store.get('nothing'), undefined)
  t.deepEqual(await store.list('container/'), [
    { key: 'container/b', value: { n: 2 } },
    { key: 'container/ü😀', value: 3 },
  ])
  t.is((await store.list('')).length, 4)
  await t.throwsAsync(
    store.batch(
      [
        { put: 'bad', value: undefined },
        { put: 'y', value: 1 },
      ],
      { sync: true },
    ),
  )
  await t.throwsAsync(store.batch([{ put: '!version', value: 9 }], { sync: true }))
  t.is(await store.get('y'), undefined)
  await store.close()
  await t.throwsAsync(store.batch([], { sync: false }), { message: /is closed/ })
  await fs.rm(dir, { recursive: true })
})

test('one owner, no newer version, damage is named', async (t) => {
  const dir = await directory()
  const meta = path.join(dir, 'meta')
  const store = await LevelMetadataStore.open(meta)
  const locked = await t.throwsAsync(LevelMetadataStore.open(meta), { message: /in use by another process/ })
  t.is(categoryOf(locked), 'Unavailable')
  await store.close()
  const raw = new ClassicLevel<string, string>(meta)
  await raw.put('!version', '99')
  await raw.put('container/x', '{"torn')
  await raw.close()
  await t.throwsAsync(LevelMetadataStore.open(meta), { message: /has version 99, this daemon knows up to 1/ })
  await raw.open()
  await raw.put('!version', '1')
  await raw.close()
  const again = await LevelMetadataStore.open(meta)
  t.is(categoryOf(await t.throwsAsync(again.get('container/x'))), 'DataLoss')
  await again.close()
  await fs.rm(dir, { recursive: true })
})
