// Expected lines are what the docker CLI 28 printed for the same answers of the engine.
import test from 'ava'
import { FakeEngine, cli } from '../testing/fake-engine.js'

const id = (start: string) => start.padEnd(64, '0')
const containers = [
  {
    Id: id('4c01db0b339c'),
    Names: ['/web', '/other/alias'],
    Image: 'nginx:latest',
    ImageID: 'sha256:aaaa',
    Command: "nginx -g 'daemon off;' --long",
    Created: 1700000000,
    Ports: [
      { IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { IP: '::', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' },
      { PrivatePort: 443, Type: 'tcp' },
      { IP: '0.0.0.0', PrivatePort: 9000, PublicPort: 9000, Type: 'tcp' },
      { IP: '0.0.0.0', PrivatePort: 9001, PublicPort: 9001, Type: 'tcp' },
      { PrivatePort: 8125, Type: 'udp' },
      { PrivatePort: 8126, Type: 'udp' },
    ],
    Labels: { z: '1', a: 'b' },
    State: 'running',
    Status: 'Up 2 minutes',
    NetworkSettings: { Networks: { bridge: {} } },
    Mounts: [
      { Type: 'volume', Name: 'a-very-long-volume-name-here', Source: '/x', Destination: '/y', Driver: 'local' },
      { Type: 'bind', Source: '/src', Destination: '/d' },
    ],
    SizeRw: 1234567,
    SizeRootFs: 99999999,
  },
  {
    Id: id('5c01db0b339c'),
    Names: ['/日本語'],
    Image: `sha256:${id('bbbb')}`,
    ImageID: `sha256:${id('bbbb')}`,
    Command: 'sh -c "x\ty"',
    Created: 1700000000,
    Ports: [],
    Labels: {},
    State: 'exited',
    Status: 'Exited (0) 3 days ago',
    NetworkSettings: { Networks: {} },
    Mounts: [],
  },
]
const images = [
  {
    Id: `sha256:${id('aaaadb0b339c')}`,
    RepoTags: ['nginx:latest'],
    RepoDigests: [`nginx@sha256:${id('1111')}`],
    Created: 1700000000,
    Size: 187654321,
    SharedSize: -1,
    Containers: -1,
  },
  {
    Id: `sha256:${id('bbbbdb0b339c')}`,
    RepoTags: [],
    RepoDigests: [`redis@sha256:${id('2222')}`],
    Created: 1700000000,
    Size: 999,
    SharedSize: -1,
    Containers: -1,
  },
  {
    Id: `sha256:${id('ccccdb0b339c')}`,
    RepoTags: null,
    RepoDigests: null,
    Created: 1700000000,
    Size: 123456,
    SharedSize: -1,
    Containers: -1,
  },
]

let engine: FakeEngine
test.before(async () => {
  engine = await new FakeEngine(({ path }) => {
    if (path === '/containers/json') return { body: containers }
    if (path === '/images/json') return { body: images }
    return undefined
  }).listen()
})
test.after.always(() => engine.close())

const ago = `${Math.trunc((Date.now() / 1000 - 1700000000) / 3600 / 24 / 365)} years ago`
const ports = '443/tcp, 8125-8126/udp, 0.0.0.0:9000-9001->9000-9001/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp'

const lists: [string[], string][] = [
  [
    ['ps'],
    'CONTAINER ID   IMAGE          COMMAND                  CREATED       STATUS                  PORTS                                                                                               NAMES\n' +
      `4c01db0b339c   nginx:latest   "nginx -g 'daemon of…"   ${ago}   Up 2 minutes            ${ports}   web\n` +
      `5c01db0b339c   bbbb00000000   "sh -c \\"x\\ty\\""         ${ago}   Exited (0) 3 days ago                                                                                                       日本語\n`,
  ],
  [['ps', '-q'], '4c01db0b339c\n5c01db0b339c\n'],
  [['ps', '-q', '--no-trunc'], `${id('4c01db0b339c')}\n${id('5c01db0b339c')}\n`],
  [
    ['ps', '--format', '{{.ID}}: {{.Size}} {{.Mounts}} {{.LocalVolumes}} {{.Labels}} {{.CreatedAt}}'],
    '4c01db0b339c: 1.23MB (virtual 100MB) a-very-long-vo…,/src 1 a=b,z=1 2023-11-14 22:13:20 +0000 UTC\n5c01db0b339c: 0B  0  2023-11-14 22:13:20 +0000 UTC\n',
  ],
  [
    ['ps', '--format', 'table {{.Names}}\\t{{.Label "a"}}\\t{{upper .State}}'],
    'NAMES     a         STATE\nweb       b         RUNNING\n日本語              EXITED\n',
  ],
  [
    ['images'],
    `REPOSITORY   TAG       IMAGE ID       CREATED       SIZE\nnginx        latest    aaaadb0b339c   ${ago}   188MB\nredis        <none>    bbbbdb0b339c   ${ago}   999B\n<none>       <none>    ccccdb0b339c   ${ago}   123kB\n`,
  ],
  [
    ['images', '--format', '{{.Repository}}:{{.Tag}} {{.Size}} {{.VirtualSize}}'],
    'nginx:latest 188MB 187.7MB\nredis:<none> 999B 999B\n<none>:<none> 123kB 123.5kB\n',
  ],
]

for (const [args, expected] of lists) {
  test(args.join(' '), async (t) => {
    const { code, stdout, stderr } = await cli(engine, args)
    t.is(stderr, '')
    t.is(stdout, expected)
    t.is(code, 0)
  })
}

test('--format json: fields sorted, safe for HTML', async (t) => {
  const { stdout } = await cli(engine, ['ps', '--format', 'json'])
  const [first = ''] = stdout.split('\n')
  const row = JSON.parse(first) as Record<string, unknown>
  t.deepEqual(Object.keys(row), Object.keys(row).toSorted())
  t.is(row.Ports, ports)
  t.true(first.includes('-\\u003e'))
})

test('a template that cannot be parsed or executed', async (t) => {
  t.is((await cli(engine, ['ps', '--format', '{{'])).stderr, 'failed to parse template: template: :1: unclosed action\n')
  const { code, stderr } = await cli(engine, ['ps', '--format', '{{.Nope}}'])
  t.is(code, 1)
  t.true(stderr.startsWith('failed to execute template: template: :1:2: executing "" at <.Nope>: '))
})
