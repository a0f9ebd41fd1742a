import test from 'ava'
import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { findPluginFile, readAddress, scanPluginFiles } from './docker-places.js'

test("Docker's lookup order, scan and files", async (t) => {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'kernel-places-'))
  const places = { sockets: [path.join(root, 'run')], specs: [path.join(root, 'etc'), path.join(root, 'lib'), path.join(root, 'missing')] }
  const put = async (file: string, content: string) => {
    await fs.mkdir(path.join(root, path.dirname(file)), { recursive: true })
    await fs.writeFile(path.join(root, file), content)
  }
  const listen = async (file: string) => {
    await fs.mkdir(path.join(root, path.dirname(file)), { recursive: true })
    const server = net.createServer().listen(path.join(root, file))
    t.teardown(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
  }
  const found = async (name: string) => {
    const file = await findPluginFile(name, places)
    return file === undefined ? undefined : path.relative(root, file.file)
  }
  await listen('run/flat.sock')
  await listen('run/deep/deep.sock')
  await listen('run/other/not-it.sock')
  await put('run/file.sock', 'no socket')
  await put('etc/file.json', '{}')
  await put('lib/file.spec', 'tcp://x:1')
  await put('etc/flat.spec', 'tcp://x:1')
  await put('etc/both.spec', 'unix:///a')
  await put('etc/both.json', '{}')
  await put('lib/nested/nested.json', '{}')
  await put('lib/nested/other.spec', '')
  await put('lib/ignored.txt', '')
  t.is(await found('flat'), 'run/flat.sock')
  t.is(await found('deep'), 'run/deep/deep.sock')
  t.is(await found('file'), 'etc/file.json', 'a file that is no socket is skipped; /etc goes before /usr/lib whatever the extension')
  t.is(await found('both'), 'etc/both.spec')
  t.is(await found('nested'), 'lib/nested/nested.json')
  for (const name of ['nothing', '../etc/both', '', '..', 'a/b', 'x\0', 'x'.repeat(300)]) t.is(await found(name), undefined, name)
  t.deepEqual(
    (await scanPluginFiles(places)).map((one) => one.name),
    ['both', 'deep', 'file', 'flat', 'nested'],
  )

  const address = async (file: string, content: string) => {
    await put(file, content)
    return readAddress({ name: 'x', file: path.join(root, file), type: path.extname(file).slice(1) as 'spec' | 'json' })
  }
  t.deepEqual(await address('a/x.spec', ' unix:///run/x.sock\n'), { socket: '/run/x.sock' })
  t.deepEqual(await address('a/x.spec', 'tcp://h:9/path'), { url: 'http://h:9' })
  t.deepEqual(await address('a/x.spec', 'https://h:9'), { url: 'https://h:9', tls: { rejectUnauthorized: false } })
  t.deepEqual(await address('a/x.json', '{"addr":"https://h:9"}'), { url: 'https://h:9', tls: { rejectUnauthorized: true } })
  await put('a/ca.pem', 'CA')
  const withCa = await address(
    'a/x.json',
    JSON.stringify({ Name: 'ignored', Addr: 'https://h:9', TLSConfig: { CAFile: path.join(root, 'a/ca.pem') } }),
  )
  t.deepEqual(withCa, { url: 'https://h:9', tls: { ca: 'CA', rejectUnauthorized: true } })
  t.deepEqual((await address('a/x.json', '{"Addr":"https://h:9","TLSConfig":{}}')).tls, { rejectUnauthorized: false })
  for (const bad of ['', 'nonsense', 'ftp://x', 'npipe:////./pipe/x', `unix:///${'x'.repeat(120)}`])
    await t.throwsAsync(address('a/x.spec', bad), { message: /plugin file/ }, bad)
  await t.throwsAsync(address('a/x.json', '{"Addr": 5}'))
  await t.throwsAsync(address('a/x.json', '{'), { message: /is not JSON/ })
  await fs.rm(root, { recursive: true })
})
