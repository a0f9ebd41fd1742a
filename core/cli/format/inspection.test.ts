import test from 'ava'
import { FakeEngine, cli } from '../testing/fake-engine.js'

let engine: FakeEngine
test.before(async () => {
  const text = Buffer.from(
    '{"Id":"abc","Name":"/web","HostConfig":{"Memory":9007199254740993},"Mounts":[],"Config":{"Cmd":["a \\"b\\" {"]}}\n',
  )
  engine = await new FakeEngine(({ path }) =>
    path === '/containers/web/json' ? { body: text } : { status: 404, body: { message: `No such object: ${path}` } },
  ).listen()
})
test.after.always(() => engine.close())

test('JSON is indented as it came: large numbers, empty lists and braces in texts stay', async (t) => {
  const { stdout } = await cli(engine, ['inspect', 'web'])
  t.true(stdout.startsWith('[\n    {\n        "Id": "abc",\n'))
  t.true(stdout.includes('"Memory": 9007199254740993\n'))
  t.true(stdout.includes('"Mounts": [],\n'))
  t.true(stdout.includes('"a \\"b\\" {"\n'))
})

test('fields that the engine left out have their zero value, as in a typed client', async (t) => {
  t.is(
    (await cli(engine, ['inspect', '-f', '{{.HostConfig.Binds}}|{{.Config.User}}|{{.HostConfig.Privileged}}', 'web'])).stdout,
    '[]||false\n',
  )
})

test('fields that no object has are refused, with their place', async (t) => {
  const { code, stderr } = await cli(engine, ['inspect', '-f', 'x {{.Nope}}', 'web'])
  t.is(code, 1)
  t.is(stderr, 'template parsing error: template: :1:4: executing "" at <.Nope>: map has no entry for key "Nope"\n')
  t.is((await cli(engine, ['inspect', '-f', '{{', 'web'])).code, 64)
})

test('what is there is shown, what is not is the error', async (t) => {
  const { code, stdout, stderr } = await cli(engine, ['inspect', '-f', '{{.Name}}', 'nope', 'web'])
  t.deepEqual([code, stdout, stderr], [1, '/web\n', 'Error: No such object: nope\n'])
})
