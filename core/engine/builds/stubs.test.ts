import { Readable } from 'node:stream'
import test from 'ava'
import { extract } from 'tar-stream'
import { tarOf } from '../../../test/fixtures/root.js'
import type { TarEntry } from '../../../test/fixtures/root.js'
import type { Located } from '../ports/index.js'
import { alwaysMounted, withoutStubs } from './stubs.js'

const dir = (name: string, mode = 0o755): TarEntry => ({ name: `${name}/`, type: 'directory', mode })

/** Directories that the image below has, by mode. */
async function kept(entries: TarEntry[], there: Record<string, number>, more: string[] = []): Promise<string[]> {
  const below = (path: string): Promise<Located> => {
    const mode = there[path]
    const place = { path, parents: [], missing: [] }
    return Promise.resolve(mode === undefined ? { ...place, kind: 'absent' } : { ...place, kind: 'directory', mode, uid: 0, gid: 0 })
  }
  // In pieces that fit no block.
  const tar = await tarOf(entries)
  const pieces = Array.from({ length: Math.ceil(tar.length / 700) }, (_, index) => tar.subarray(index * 700, (index + 1) * 700))
  const filtered = withoutStubs(Readable.from(pieces), [...alwaysMounted, ...more], below)
  const names: string[] = []
  const reader = extract()
  filtered.pipe(reader)
  for await (const entry of reader) {
    let size = 0
    for await (const chunk of entry as AsyncIterable<Buffer>) size += chunk.length
    names.push(`${entry.header.name}${size > 0 ? ` ${size}` : ''}`)
  }
  return names
}

test('what a start made to mount on is left out, with the directories on the way to it', async (t) => {
  const stubs = [dir('dev'), dir('etc'), { name: 'etc/hosts' }, { name: 'etc/resolv.conf' }, dir('proc'), dir('sys')]
  t.deepEqual(await kept(stubs, { etc: 0o755 }), [])
  t.deepEqual(await kept(stubs, {}), [])
  t.deepEqual(await kept([dir('a'), dir('a/b'), dir('a/b/c'), { name: 'z', content: 'x' }], {}, ['/a/b/c']), ['z 1'])
})

test('what the step itself changed stays', async (t) => {
  t.deepEqual(await kept([dir('etc', 0o700), { name: 'etc/hosts' }], { etc: 0o755 }), ['etc/'])
  t.deepEqual(await kept([dir('etc'), { name: 'etc/hosts' }, { name: 'etc/new', content: 'x'.repeat(2000) }], { etc: 0o755 }), [
    'etc/',
    'etc/new 2000',
  ])
  t.deepEqual(await kept([dir('etc'), { name: 'etc/hosts', content: 'own' }], { etc: 0o755 }), ['etc/', 'etc/hosts 3'])
  t.deepEqual(await kept([dir('etc')], { etc: 0o755 }), ['etc/'])
  t.deepEqual(await kept([dir('dev'), { name: 'x' }], { dev: 0o755 }), ['dev/', 'x'])
  t.deepEqual(await kept([dir('m'), dir('m/in'), { name: 'm/other' }], {}, ['m/in']), ['m/', 'm/other'])
  t.deepEqual(
    await kept([dir('etc'), { name: 'etc/hosts' }, dir('etc/x'), { name: `etc/x/${'long'.repeat(60)}`, content: 'y' }], { etc: 0o755 }),
    ['etc/', 'etc/x/', `etc/x/${'long'.repeat(60)} 1`],
  )
})
