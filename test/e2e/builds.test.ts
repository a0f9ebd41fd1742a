import fs from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import type { Output, TestDaemon } from '../fixtures/daemon.js'
import { run } from '../fixtures/daemon.js'
import { busyboxImage, tarOf } from '../fixtures/root.js'
import { daemonSuite } from '../fixtures/suite.js'

process.env['DOCKER_BUILDKIT'] = '0'
const daemonTest = daemonSuite()
let contexts = 0

/** A context directory with a Dockerfile. */
function context(d: TestDaemon, dockerfile: string, files: Record<string, string | Buffer> = {}): string {
  const dir = path.join(d.dir, `context-${contexts++}`)
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'Dockerfile'), dockerfile)
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true })
    fs.writeFileSync(path.join(dir, name), content)
  }
  return dir
}

const build = (d: TestDaemon, dir: string, ...args: string[]): Promise<Output> => d.docker('build', ...args, dir)

async function built(d: TestDaemon, dir: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await build(d, dir, ...args)
  if (code !== 0) throw new Error(`docker build: exit ${code}\n${stdout}${stderr}\n--- daemon log\n${d.log.slice(-2000)}`)
  return stdout.replace(/^Sending build context[^\n]*\n/s, '')
}

const sh = (d: TestDaemon, image: string, script: string): Promise<string> => d.ok('run', '--rm', '--entrypoint', 'sh', image, '-c', script)
const normal = (text: string): string => text.replace(/\b[0-9a-f]{12}\b/g, 'ID')

async function fails(
  t: ExecutionContext,
  d: TestDaemon,
  dockerfile: string,
  pattern: RegExp,
  files: Record<string, string> = {},
): Promise<Output> {
  const answer = await build(d, context(d, dockerfile, files))
  t.not(answer.code, 0, dockerfile)
  t.regex(answer.stderr, pattern)
  return answer
}

daemonTest('a build says what it does as the classic builder does', async (t, d) => {
  const dir = context(d, 'ARG B=busybox\nFROM $B\nRUN echo out && echo err >&2\nENV A=1\nCOPY f /f\n', { f: 'x' })
  const said = await built(d, dir, '-t', 'form:1', '-t', 'form:2', '--label', 'who=me too')
  t.is(
    normal(said),
    [
      'Step 1/6 : ARG B=busybox',
      'Step 2/6 : FROM $B',
      ' ---> ID',
      'Step 3/6 : RUN echo out && echo err >&2',
      ' ---> Running in ID',
      'out',
      '\u001b[91merr',
      '\u001b[0mRemoving intermediate container ID',
      ' ---> ID',
      'Step 4/6 : ENV A=1',
      ' ---> ID',
      'Step 5/6 : COPY f /f',
      ' ---> ID',
      'Step 6/6 : LABEL who=me too',
      ' ---> ID',
      'Successfully built ID',
      'Successfully tagged form:1',
      'Successfully tagged form:2',
      '',
    ].join('\n'),
  )
  const id = await d.ok('image', 'inspect', '-f', '{{.Id}} {{.Config.Labels.who}}', 'form:2')
  t.regex(id, / me too$/)
  t.regex(said, new RegExp(`Successfully built ${id.slice('sha256:'.length, 'sha256:'.length + 12)}`))
  t.is(await d.ok('ps', '-aq'), '')
  const again = await built(d, dir, '-t', 'form:3', '--label', 'who=me too')
  t.is(again.match(/Using cache/g)?.length, 4)
  t.true(id.startsWith(`${await d.ok('image', 'inspect', '-f', '{{.Id}}', 'form:3')} `))
})

daemonTest('stages, arguments and expansion: what the shell would make of them', async (t, d) => {
  const dockerfile = `
ARG TAG=latest
ARG UNSEEN=global
FROM busybox:\${TAG} AS first
ARG UNSEEN
ARG NAME=default
ENV PLUS=\${NAME:+set} MINUS="\${NOTHING:-fall back}" CUT=\${NAME#de} LIT='$NAME' ESC=\\$NAME Q="a  b"
RUN echo "$UNSEEN $NAME $PLUS|$MINUS|$CUT|$LIT|$ESC|$Q" > /first
FROM first
RUN echo "<$NAME>" > /second
FROM scratch
COPY --from=1 /first /second /
COPY --from=busybox /bin/busybox /bin/sh
COPY --from=first /bin/cat /bin/
`
  await built(d, context(d, dockerfile), '-t', 'stages', '--build-arg', 'NAME=demo')
  t.is(await sh(d, 'stages', '/bin/cat /first /second'), 'global demo set|fall back|mo|$NAME|$NAME|a  b\n<>')
  await built(d, context(d, dockerfile), '-t', 'first', '--target', 'first')
  t.regex(await sh(d, 'first', 'cat /first; env'), /PLUS=set/)
  const { code, stderr } = await build(d, context(d, dockerfile), '--target', 'nowhere')
  t.not(code, 0)
  t.regex(stderr, /failed to reach build target nowhere in Dockerfile/)
})

daemonTest('independent stages run side by side, and are told one after the other', async (t, d) => {
  // Each waits for the other: one after the other they would wait for ever.
  const meet = (mine: string, other: string): string =>
    `RUN --mount=type=cache,target=/meet,id=meet touch /meet/${mine} && until [ -e /meet/${other} ]; do sleep 0.05; done && echo met ${other}`
  const dockerfile = `FROM busybox AS a\n${meet('a', 'b')}\nFROM busybox AS b\n${meet('b', 'a')}\nFROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n`
  const said = normal(await built(d, context(d, dockerfile), '-t', 'meet'))
  t.true(said.indexOf('met b') < said.indexOf('Step 3/7'))
  t.true(said.indexOf('Step 3/7') < said.indexOf('met a'))
})

daemonTest('COPY and ADD put files where a process in the image would look for them', async (t, d) => {
  const links = await busyboxImage({
    tag: 'links:1',
    files: [
      { name: 'run/', type: 'directory', mode: 0o750 },
      { name: 'var/run', type: 'symlink', linkname: '/run' },
      { name: 'abs', type: 'symlink', linkname: '/../../../../var' },
    ],
  })
  t.is((await d.api('POST', '/images/load', links)).status, 200)
  const dir = context(
    d,
    [
      'FROM links:1',
      'WORKDIR /work/deep',
      'COPY one.txt renamed',
      'COPY *.txt sub/',
      'COPY tree .',
      'COPY one.txt /var/run/through',
      'COPY one.txt /abs/',
      'COPY --chown=daemon:audio --chmod=4751 one.txt /tmp/owned',
      'COPY --chown=1234 tree /numbers/',
      'ADD packed.tar.gz /unpacked/',
      'ADD one.txt plain.gz /added/',
      'COPY ["with space", "/spaced/"]',
      'COPY link /followed',
      '',
    ].join('\n'),
    {
      'one.txt': '1',
      'two.txt': '2',
      'tree/a': 'a',
      'tree/b/c': 'c',
      'with space': 's',
      'packed.tar.gz': gzipSync(
        await tarOf([
          { name: 'in/', type: 'directory' },
          { name: 'in/side', content: 'packed' },
        ]),
      ),
      'plain.gz': gzipSync('no archive'),
    },
  )
  fs.symlinkSync('/tree/a', path.join(dir, 'link'))
  fs.chmodSync(path.join(dir, 'tree/b'), 0o700)
  await built(d, dir, '-t', 'copied')
  const seen = await sh(
    d,
    'copied',
    'cd /work/deep && cat renamed sub/one.txt sub/two.txt a b/c /run/through /var/one.txt /unpacked/in/side /added/one.txt "/spaced/with space" /followed; echo; wc -c < /added/plain.gz',
  )
  t.is(seen, `112ac11packed1sa\n${gzipSync('no archive').length}`)
  t.is(
    await sh(d, 'copied', 'stat -c "%a %u:%g %n" /tmp /tmp/owned /numbers /numbers/a /run /work/deep/b /run/through'),
    [
      '1777 0:0 /tmp',
      '4751 1:29 /tmp/owned',
      '755 1234:1234 /numbers',
      '644 1234:1234 /numbers/a',
      '750 0:0 /run',
      '700 0:0 /work/deep/b',
      '644 0:0 /run/through',
    ].join('\n'),
  )
})

daemonTest('a context cannot reach files of the host', async (t, d) => {
  const secret = path.join(d.dir, 'host-secret')
  fs.writeFileSync(secret, 'of the host')
  for (const target of [secret, `../../../../../../../..${secret}`]) {
    const dir = context(d, 'FROM busybox\nCOPY out /out\n')
    fs.symlinkSync(target, path.join(dir, 'out'))
    const { code, stderr } = await build(d, dir)
    t.not(code, 0)
    t.regex(stderr, /COPY failed: file not found in build context/)
  }
  const bound = context(d, `FROM busybox\nRUN --mount=type=bind,source=dir,target=/m cat /m/host-secret\n`)
  fs.symlinkSync(d.dir, path.join(bound, 'dir'))
  t.not((await build(d, bound)).code, 0)
  await fails(
    t,
    d,
    'FROM busybox\nCOPY ../../../etc/passwd /x\nCOPY nothing /y\n',
    /nothing: file does not exist|etc\/passwd: file does not exist/,
  )
  const linked = context(d, 'x')
  fs.rmSync(path.join(linked, 'Dockerfile'))
  const tar = await tarOf([{ name: 'Dockerfile', type: 'symlink', linkname: secret }])
  const answer = await d.api('POST', '/build', tar)
  t.is(answer.status, 400)
  t.regex(answer.body.toString(), /Cannot locate specified Dockerfile/)
  const escaping = await d.api('POST', '/build', await tarOf([{ name: '../../escaped', content: 'x' }]))
  t.is(escaping.status, 400)
})

daemonTest('the cache goes by content', async (t, d) => {
  const dockerfile = 'FROM busybox\nCOPY f /f\nRUN cat /f > /g\n'
  const dir = context(d, dockerfile, { f: 'one' })
  await built(d, dir, '-t', 'cached')
  fs.utimesSync(path.join(dir, 'f'), 1, 1)
  t.is((await built(d, dir)).match(/Using cache/g)?.length, 2)
  fs.writeFileSync(path.join(dir, 'f'), 'two')
  t.is((await built(d, dir, '-t', 'cached2')).match(/Using cache/g), null)
  t.is(await sh(d, 'cached2', 'cat /g'), 'two')
  t.is((await built(d, dir, '--no-cache')).match(/Using cache/g), null)
  fs.chmodSync(path.join(dir, 'f'), 0o755)
  t.is((await built(d, dir)).match(/Using cache/g), null)
  t.is((await built(d, context(d, 'FROM busybox\nARG X=1\nRUN echo $X\n'), '--build-arg', 'X=2')).match(/Using cache/g), null)
})

daemonTest('--cache-from takes steps from an image that was built elsewhere', async (t, d) => {
  const dir = context(d, 'FROM busybox\nENV A=b\nRUN date +%N > /stamp\nRUN echo last\n')
  await built(d, dir, '-t', 'elsewhere')
  const stamp = await sh(d, 'elsewhere', 'cat /stamp')
  // What is remembered of the steps goes; the image is still there.
  t.is((await d.tsd('builder', 'prune', '-f')).code, 0)
  t.is((await built(d, dir, '--cache-from', 'elsewhere', '-t', 'here')).match(/Using cache/g)?.length, 3)
  t.is(await sh(d, 'here', 'cat /stamp'), stamp)
  t.is((await d.tsd('builder', 'prune', '-f')).code, 0)
  const longer = context(d, 'FROM busybox\nENV A=b\nRUN date +%N > /stamp\nRUN echo other\n')
  t.is((await built(d, longer, '--cache-from', 'elsewhere', '-t', 'longer')).match(/Using cache/g)?.length, 2)
  t.is(await sh(d, 'longer', 'cat /stamp'), stamp)
  t.is((await d.tsd('builder', 'prune', '-f')).code, 0)
  t.is((await built(d, dir)).match(/Using cache/g), null)
})

daemonTest('RUN --mount: cache, bind, tmpfs and secret are there for the step, and not in the image', async (t, d) => {
  const dockerfile = [
    'FROM busybox AS other',
    'RUN echo from the stage > /given',
    'FROM busybox',
    'RUN --mount=type=cache,target=/c,id=count,mode=0700,uid=7 stat -c "%a %u" /c > /mode; echo x >> /c/n; wc -l < /c/n > /count',
    'RUN --mount=type=bind,target=/ctx --mount=type=bind,from=other,source=/given,target=/given cat /ctx/f /given > /bound; ! touch /ctx/new',
    'RUN --mount=type=tmpfs,target=/t,size=1m grep " /t " /proc/mounts > /tmpfs && echo gone > /t/x',
    'RUN --mount=type=secret,id=key,target=/k,mode=0440 --mount=type=secret,id=word,env=WORD stat -c "%a" /k > /secret && sha1sum < /k >> /secret && echo ${#WORD} >> /secret',
    'RUN --mount=type=secret,id=missing ls /run/secrets/missing 2>/dev/null || echo none > /missing',
    '',
  ].join('\n')
  const dir = context(d, dockerfile, { f: 'from the context\n' })
  fs.writeFileSync(path.join(d.dir, 'key'), 'open sesame')
  const secrets = ['--secret', `id=key,src=${d.dir}/key`, '--secret', 'id=word,env=HOME']
  const first = await d.tsd('build', '-t', 'mounts', ...secrets, dir)
  t.is(first.code, 0, first.stderr)
  t.is(await sh(d, 'mounts', 'cat /mode /count /bound'), '700 7\n1\nfrom the context\nfrom the stage')
  t.regex(await sh(d, 'mounts', 'cat /tmpfs'), /^tmpfs \/t tmpfs .*size=1024k/)
  t.is(
    await sh(d, 'mounts', 'cat /secret /missing; ls -d /t /c /k /given /ctx 2>/dev/null; true'),
    `440\n${(await run('sh', ['-c', `printf 'open sesame' | sha1sum`])).stdout}${(process.env['HOME'] ?? '').length}\nnone`,
  )
  t.is((await run('grep', ['-rlF', 'open sesame', d.dataRoot])).stdout, '')
  t.is((await d.tsd('build', '--no-cache', '-t', 'mounts', ...secrets, dir)).code, 0)
  t.is(await sh(d, 'mounts', 'cat /count'), '2')
  t.regex((await d.tsd('builder', 'prune', '-f')).stdout, /Deleted build cache objects/)
  t.is((await d.tsd('build', '--no-cache', '-t', 'mounts', ...secrets, dir)).code, 0)
  t.is(await sh(d, 'mounts', 'cat /count'), '1')
  await fails(t, d, 'FROM busybox\nRUN --mount=type=secret,id=no,required=true true\n', /secret no: not found/)
  await fails(t, d, 'FROM busybox\nRUN --mount=type=ssh true\n', /type=ssh is not supported/)
})

daemonTest('here-documents: scripts, commands with input, files', async (t, d) => {
  const dockerfile = [
    'FROM busybox',
    'ARG WHO=world',
    'RUN <<EOF',
    'set -e',
    '# no comment of the Dockerfile',
    'echo "hello $WHO" > /script',
    'EOF',
    'RUN <<EOF',
    '#!/bin/busybox ash',
    'echo "own $0" > /own',
    'EOF',
    'RUN cat <<ONE > /one && cat <<TWO > /two',
    'first',
    'ONE',
    'second',
    'TWO',
    'COPY <<plain <<-"quoted" /dir/',
    'to $WHO',
    'plain',
    '\tto $WHO',
    '\tquoted',
    'CMD ["cat", "/script"]',
  ].join('\n')
  await built(d, context(d, dockerfile), '-t', 'heredocs')
  t.is(
    await sh(d, 'heredocs', 'cat /script /own /one /two /dir/plain /dir/quoted'),
    'hello world\nown /dev/pipes/EOF\nfirst\nsecond\nto world\nto $WHO',
  )
  t.is(await d.ok('run', '--rm', 'heredocs'), 'hello world')
})

daemonTest('instructions that only configure are felt by a container', async (t, d) => {
  const dockerfile = [
    '# escape=`',
    'FROM busybox',
    'MAINTAINER someone',
    'SHELL ["/bin/sh", "-ec"]',
    'ENV ONE=1 `',
    '# in between',
    '    TWO="2 2"',
    'ENV OLD the old form',
    'LABEL a=b c="d e"',
    'EXPOSE 80 5000-5001/udp',
    'VOLUME /data',
    'VOLUME ["/json"]',
    'WORKDIR /a',
    'WORKDIR b',
    'USER daemon:audio',
    'STOPSIGNAL SIGUSR1',
    'HEALTHCHECK --interval=5s --retries=3 CMD true',
    'ENTRYPOINT ["sh", "-c"]',
    'CMD ["id; pwd; echo $ONE $TWO $OLD; cut -d\\" \\" -f2 /proc/mounts | grep -c ^/data"]',
  ].join('\n')
  await built(d, context(d, dockerfile), '-t', 'configured')
  t.is(await d.ok('run', '--rm', 'configured'), 'uid=1(daemon) gid=29(audio) groups=29(audio)\n/a/b\n1 2 2 the old form\n1')
  const [image] = JSON.parse(await d.ok('image', 'inspect', 'configured')) as [{ Author: string; Config: Record<string, unknown> }]
  t.is(image.Author, 'someone')
  t.like(image.Config, {
    Labels: { a: 'b', c: 'd e' },
    ExposedPorts: { '80/tcp': {}, '5000/udp': {}, '5001/udp': {} },
    Volumes: { '/data': {}, '/json': {} },
    StopSignal: 'SIGUSR1',
    Shell: ['/bin/sh', '-ec'],
    Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5_000_000_000, Retries: 3 },
  })
  const id = await d.ok('image', 'inspect', '-f', '{{.Id}}', 'configured')
  const { history } = JSON.parse(fs.readFileSync(path.join(d.dataRoot, 'content/blobs/sha256', id.slice('sha256:'.length)), 'utf8')) as {
    history: { created_by: string; empty_layer?: boolean }[]
  }
  t.like(
    history.find((entry) => entry.created_by.includes('USER')),
    { created_by: '/bin/sh -ec #(nop)  USER daemon:audio', empty_layer: true },
  )
})

daemonTest('ONBUILD waits for the image that is built on it', async (t, d) => {
  await built(d, context(d, 'FROM busybox\nONBUILD COPY f /from-child\nONBUILD RUN echo ran > /ran\n'), '-t', 'parent')
  const dir = context(d, 'FROM parent\nRUN echo own > /own\n', { f: 'child' })
  const said = await built(d, dir, '-t', 'child')
  t.regex(said, /# Executing 2 build triggers\n/)
  t.is(await sh(d, 'child', 'cat /from-child /ran /own'), 'childran\nown')
  t.is(await d.ok('image', 'inspect', '-f', '{{.Config.OnBuild}}', 'child'), '[]')
})

daemonTest('steps run with the limits that were asked for', async (t, d) => {
  const dockerfile = [
    'FROM busybox',
    'RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.shares > /limits 2>/dev/null || cat /sys/fs/cgroup/memory.max > /limits',
    'RUN ulimit -n > /ulimit; grep -c . /proc/net/dev > /devices; cat /etc/hosts > /hosts',
    'RUN grep " /dev/shm " /proc/mounts > /shm',
    'RUN --network=host grep -c . /proc/net/route > /route',
    'RUN grep NoNewPrivs /proc/self/status > /more; grep Cpus_allowed_list /proc/self/status >> /more; grep -c /of-a-build/ /proc/self/cgroup >> /more',
    'RUN cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes > /v1 2>/dev/null; true',
    '',
  ].join('\n')
  const args = [
    '-m',
    '64m',
    '-c',
    '512',
    '--ulimit',
    'nofile=100:200',
    '--shm-size',
    '2m',
    '--add-host',
    'far:10.9.8.7',
    '--network',
    'none',
  ]
  args.push('--security-opt', 'no-new-privileges', '--cpuset-cpus', '0', '--cpu-quota', '30000', '--cpu-period', '60000')
  args.push('--cgroup-parent', `${d.cgroupParent}/of-a-build`)
  for (const client of ['docker', 'tsd'] as const) {
    const { code, stderr } = await d[client]('build', '--no-cache', '-t', 'limits', ...args, context(d, dockerfile))
    t.is(code, 0, stderr)
    await limitsHold(t, d)
  }
})

async function limitsHold(t: ExecutionContext, d: TestDaemon): Promise<void> {
  t.regex(await sh(d, 'limits', 'cat /limits'), /^67108864/)
  t.regex(await sh(d, 'limits', 'cat /more'), /^NoNewPrivs:\t1\nCpus_allowed_list:\t0\n[1-9]/)
  const quota = await sh(d, 'limits', 'cat /v1')
  if (quota !== '') t.regex(quota, /^30000/)
  // Two lines of head, and lo.
  t.is(await sh(d, 'limits', 'cat /ulimit /devices'), '100\n3')
  t.regex(await sh(d, 'limits', 'cat /hosts'), /10\.9\.8\.7\s+far/)
  t.regex(await sh(d, 'limits', 'cat /shm'), /size=2048k/)
}

daemonTest('what cannot be built says why', async (t, d) => {
  const failing = await fails(t, d, 'FROM busybox\nRUN exit 7\n', /The command '\/bin\/sh -c exit 7' returned a non-zero code: 7/)
  t.is(failing.code, 7)
  // As with dockerd, the container of a failed step can be looked at.
  t.regex(await d.ok('ps', '-a', '--format', '{{.Status}}'), /^Exited \(7\)/)
  t.not((await build(d, context(d, 'FROM busybox\nRUN exit 7\n'), '--force-rm')).code, 0)
  t.is((await d.ok('ps', '-aq')).split('\n').length, 1)
  await fails(t, d, 'FROM busybox\nWRONG x\n', /dockerfile parse error line 2: unknown instruction: WRONG/)
  await fails(t, d, 'RUN x\n', /no build stage in current context/)
  await fails(t, d, 'FROM busybox\nCOPY --form=x a b\n', /unknown flag: --form \(did you mean "from"\?\)/)
  await fails(
    t,
    d,
    'FROM busybox\nCOPY nothing /\n',
    /COPY failed: file not found in build context or excluded by \.dockerignore: stat nothing: file does not exist/,
  )
  await fails(t, d, 'FROM busybox\nCOPY nothing* /\n', /COPY failed: no source files were specified/)
  await fails(t, d, 'FROM no/such:1\n', /no\/such|registry-1/)
  await fails(t, d, 'FROM busybox\nENV A="${B:?must be given}"\n', /B: must be given/)
  await fails(t, d, 'FROM busybox\nCOPY --link Dockerfile /\n', /COPY --link is not supported by tsd/)
  await fails(t, d, 'FROM busybox\nRUN cat <<EOF\nnever ends\n', /unterminated heredoc EOF/)
  await fails(t, d, 'FROM busybox\nADD https://example.com/x.git /x\n', /git repository is not supported/)
  const refusals: [string, RegExp, number][] = [
    ['version=2', /DOCKER_BUILDKIT=0/, 501],
    ['squash=1', /squash is not supported/, 501],
    ['remote=https://github.com/x/y.git', /remote contexts/, 501],
    ['buildargs=x', /buildargs/, 400],
    ['t=UPPER', /invalid reference format|must be lowercase/, 400],
    ['dockerfile=nowhere', /Cannot locate specified Dockerfile: nowhere/, 400],
  ]
  const tar = await tarOf([{ name: 'Dockerfile', content: 'FROM busybox\n' }])
  for (const [query, pattern, status] of refusals) {
    const answer = await d.api('POST', `/build?${query}`, tar)
    t.is(answer.status, status, query)
    t.regex(answer.body.toString(), pattern)
  }
})

daemonTest('-q, --iidfile, a Dockerfile from elsewhere, a context from standard input', async (t, d) => {
  const dir = context(d, 'FROM busybox\nRUN echo loud\n')
  t.regex((await build(d, dir, '-q')).stdout, /^sha256:[0-9a-f]{64}\n$/)
  const iid = path.join(d.dir, 'iid')
  for (const client of ['docker', 'tsd'] as const) {
    const { code, stderr } = await d[client]('build', '--iidfile', iid, dir)
    t.is(code, 0, stderr)
    t.is(fs.readFileSync(iid, 'utf8'), await d.ok('image', 'inspect', '-f', '{{.Id}}', fs.readFileSync(iid, 'utf8')))
  }
  t.is((await d.dockerInput('FROM busybox\nCOPY Dockerfile /d\n', 'build', '-t', 'stdin', '-f', '-', dir)).code, 0)
  t.regex(await sh(d, 'stdin', 'cat /d'), /echo loud/)
  t.is((await d.dockerInput('FROM busybox\nENV A=alone\n', 'build', '-t', 'alone', '-')).code, 0)
  t.is(await sh(d, 'alone', 'echo $A'), 'alone')
  const file = path.join(d.dir, 'context.tar.gz')
  fs.writeFileSync(
    file,
    gzipSync(
      await tarOf([
        { name: 'Dockerfile', content: 'FROM busybox\nCOPY x /x\n' },
        { name: 'x', content: 'piped' },
      ]),
    ),
  )
  for (const [client, name] of [
    ['docker', 'piped'],
    [`${process.execPath} ${path.resolve('dist/core/cli/main.js')} --host unix://${d.socket}`, 'piped2'],
  ]) {
    const piped = await run('sh', ['-c', `${client} build -t ${name} - < ${file}`], { env: d.env() })
    t.is(piped.code, 0, piped.stderr)
    t.is(await sh(d, name as string, 'cat /x'), 'piped')
  }
})

daemonTest('.dockerignore keeps files out of the context, with docker and tsd', async (t, d) => {
  const files = {
    '.dockerignore': '# comment\n*.log\n!keep.log\nsecret\n**/deep\nDockerfile\n.dockerignore\n',
    'a.log': '',
    'keep.log': '',
    'secret/x': '',
    'd/deep/y': '',
    'd/z': '',
  }
  const dir = context(d, 'FROM busybox\nCOPY . /all\n', files)
  for (const client of ['docker', 'tsd'] as const) {
    const { code, stderr } = await d[client]('build', '--no-cache', '-t', 'ignored', dir)
    t.is(code, 0, stderr)
    t.is(await sh(d, 'ignored', 'cd /all && find . | sort'), '.\n./d\n./d/z\n./keep.log')
  }
  fs.writeFileSync(path.join(dir, 'Dockerfile.dockerignore'), 'd\nkeep.log\nDockerfile*\n.dockerignore\n')
  t.is((await d.tsd('build', '-t', 'ignored', dir)).code, 0)
  t.is(await sh(d, 'ignored', 'cd /all && find . | sort'), '.\n./Dockerfile.dockerignore\n./a.log\n./secret\n./secret/x')
})

daemonTest('ADD fetches a URL and checks what came', async (t, d) => {
  fs.mkdirSync(path.join(d.dir, 'www'))
  fs.writeFileSync(path.join(d.dir, 'www/file'), 'over http')
  fs.writeFileSync(path.join(d.dir, 'www/packed.tar'), await tarOf([{ name: 'inner', content: 'unpacked' }]))
  const pidfile = path.join(d.dir, 'httpd.pid')
  const serve = `busybox httpd -f -p 127.0.0.1:8099 -h ${d.dir}/www & echo $! > ${pidfile}`
  await d.host('sh', '-c', `(${serve}) >/dev/null 2>&1 </dev/null`)
  t.teardown(() => process.kill(Number(fs.readFileSync(pidfile, 'utf8'))))
  const good = (await run('sha256sum', [path.join(d.dir, 'www/file')])).stdout.split(' ')[0]
  const url = 'http://127.0.0.1:8099/file'
  await built(
    d,
    context(
      d,
      `FROM busybox\nADD --checksum=sha256:${good} ${url} /dir/\nADD --chmod=644 ${url} /named\nADD http://127.0.0.1:8099/packed.tar /\nADD --unpack=true http://127.0.0.1:8099/packed.tar /out\n`,
    ),
    '-t',
    'added',
  )
  t.is(
    await sh(d, 'added', 'cat /dir/file /named /out/inner; test -f /packed.tar && stat -c %a /dir/file /named'),
    'over httpover httpunpacked600\n644',
  )
  await fails(t, d, `FROM busybox\nADD --checksum=sha256:${'0'.repeat(64)} ${url} /x\n`, /digest mismatch/)
  await fails(t, d, `FROM busybox\nADD ${url}-not /x\n`, /failed to GET .* with status 404/)
})

daemonTest('intermediate images are hidden, kept while they are needed, and go with the last image', async (t, d) => {
  await built(d, context(d, 'FROM busybox\nENV UNIQUE=1\nRUN echo unique > /u\n'), '-t', 'leaf')
  t.is((await d.ok('images', '-q', 'leaf')).split('\n').length, 1)
  const parent = await d.ok('image', 'inspect', '-f', '{{.Parent}}', 'leaf')
  t.regex(parent, /^sha256:/)
  t.false((await d.ok('images', '-q', '--no-trunc')).includes(parent))
  t.true((await d.ok('images', '-aq', '--no-trunc')).includes(parent))
  t.regex((await d.docker('rmi', parent)).stderr, /image has dependent child images/)
  const gone = await d.ok('rmi', 'leaf')
  t.is(gone.match(/Deleted: sha256:/g)?.length, 3)
  t.regex(await d.ok('images', 'busybox'), /busybox/)
})
