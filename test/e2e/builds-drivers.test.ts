import fs from 'node:fs'
import path from 'node:path'
import { onPath } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

process.env['DOCKER_BUILDKIT'] = '0'
const runtime = onPath('runc') === undefined ? 'native' : 'runc'
const driversTest = daemonSuite({ title: 'other drivers', config: { 'storage-driver': 'vfs', 'default-runtime': runtime } })

driversTest('a build goes through the graph and exec drivers that were chosen', async (t, d) => {
  const dir = fs.mkdtempSync(path.join(d.dir, 'context-'))
  fs.writeFileSync(path.join(dir, 'f'), 'from the context')
  fs.writeFileSync(
    path.join(dir, 'Dockerfile'),
    [
      'FROM busybox AS one',
      'RUN echo made > /made && rm /etc/group && ln -s /made /link',
      'FROM busybox',
      'COPY f /bin/../f',
      'COPY --from=one /link /linked',
      'RUN --mount=type=bind,from=one,target=/one cat /f /one/made > /seen && mkdir -p /new/dir && rm /f',
      '',
    ].join('\n'),
  )
  const { code, stderr } = await d.docker('build', '-t', 'other', dir)
  t.is(code, 0, stderr)
  t.is(
    await d.ok('run', '--rm', 'other', 'sh', '-c', 'cat /seen /linked; ls -d /new/dir /f /one 2>/dev/null; true'),
    'from the contextmade\nmade\n/new/dir',
  )
  const again = await d.docker('build', dir)
  t.is(again.stdout.match(/Using cache/g)?.length, 4)
  t.is(await d.ok('image', 'inspect', '-f', '{{.GraphDriver.Name}} {{len .RootFS.Layers}}', 'other'), 'vfs 4')
})
