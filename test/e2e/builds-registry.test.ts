import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { DockerRegistry } from '../fixtures/docker-registry.js'
import { missing } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

process.env['DOCKER_BUILDKIT'] = '0'
const lacking = missing('docker-registry', 'openssl')
const suite = daemonSuite()
const registryTest: typeof suite = (name, body) =>
  lacking === undefined ? suite(name, body) : test.skip(`${name} [needs ${lacking}]`, (t) => body(t, undefined as never))

registryTest('base images come from a registry, with the credentials of the client', async (t, d) => {
  const registry = await DockerRegistry.start(t, d, { users: { reader: 'secret' } })
  const name = `${registry.host}/team/base:1`
  const login = await d.dockerInput('secret', 'login', '-u', 'reader', '--password-stdin', registry.host)
  t.is(login.code, 0, login.stderr)
  await d.ok('tag', 'busybox', name)
  await d.ok('push', name)
  const dir = fs.mkdtempSync(path.join(d.dir, 'context-'))
  fs.writeFileSync(path.join(dir, 'Dockerfile'), `FROM ${name} AS b\nFROM busybox\nCOPY --from=${name} /etc/passwd /copied\n`)
  for (const client of ['docker', 'tsd'] as const) {
    await d.ok('rmi', name)
    const { code, stdout, stderr } = await d[client]('build', '--no-cache', '-t', 'from-registry', dir)
    t.is(code, 0, stderr)
    t.regex(stdout, /Pulling from team\/base|Status: /)
    t.regex(await d.ok('run', '--rm', 'from-registry', 'cat', '/copied'), /^root:x:0:0/)
  }
  t.regex((await d.docker('build', '--no-cache', '--pull', '--target', 'b', dir)).stdout, /Image is up to date|Status: /)
  await d.ok('rmi', name)
  await d.ok('logout', registry.host)
  const refused = await d.docker('build', '--no-cache', dir)
  t.not(refused.code, 0)
  t.regex(refused.stderr, /no basic auth credentials|pull access denied|unauthorized/)
  fs.writeFileSync(path.join(dir, 'Dockerfile'), `FROM ${registry.host}/team/nothing:1\n`)
  t.regex((await d.docker('build', dir)).stderr, /no basic auth credentials|not found|manifest unknown|denied/)
})
