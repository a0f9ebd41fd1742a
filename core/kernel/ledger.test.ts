import test from 'ava'
import fc from 'fast-check'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { FileLedger, recorded } from './ledger.js'

const directory = (): string => fs.mkdtempSync(path.join(os.tmpdir(), 'kernel-ledger-'))

test('intent, fact, release; data is merged; order is kept across a reopen', async (t) => {
  const dir = directory()
  const file = path.join(dir, 'run', 'ledger')
  const ledger = new FileLedger(file)
  ledger.intend('c1', [
    { kind: 'mount', key: '/a', data: { x: 1 } },
    { kind: 'cgroup', key: 'g' },
  ])
  ledger.intend('c2', [{ kind: 'mount', key: '/a' }])
  ledger.fact('c1', [{ kind: 'mount', key: '/a', data: { y: 2 } }])
  ledger.released('c1', [{ kind: 'cgroup', key: 'g' }])
  await t.throwsAsync(recorded(ledger, 'c3', [{ kind: 'netns', key: 'n' }], () => Promise.reject(new Error('no'))))
  const expected = [
    { owner: 'c1', kind: 'mount', key: '/a', data: { x: 1, y: 2 }, state: 'fact' },
    { owner: 'c2', kind: 'mount', key: '/a', state: 'intent' },
    { owner: 'c3', kind: 'netns', key: 'n', state: 'intent' },
  ]
  t.deepEqual(ledger.entries() as unknown, expected)
  t.deepEqual(ledger.owners(), ['c1', 'c2', 'c3'])
  t.is(ledger.entries('c2').length, 1)
  ledger.close()
  const again = new FileLedger(file)
  t.deepEqual(again.entries() as unknown, expected)
  again.close()
  fs.rmSync(dir, { recursive: true })
})

test('a torn tail is cut off at every byte', (t) => {
  const dir = directory()
  const file = path.join(dir, 'ledger')
  const first = new FileLedger(file)
  first.intend('c1', [{ kind: 'mount', key: 'ä' }])
  first.fact('c1', [{ kind: 'mount', key: 'ä' }])
  first.close()
  const whole = fs.readFileSync(file)
  const header = whole.indexOf(0x0a) + 1
  const lines = whole.indexOf(0x0a, header) + 1
  for (let length = 0; length <= whole.length; length++) {
    fs.writeFileSync(file, whole.subarray(0, length))
    const ledger = new FileLedger(file)
    t.is(ledger.damaged, 0)
    const state = ledger.entries()[0]?.state
    t.is(state, length < lines ? undefined : length < whole.length ? 'intent' : 'fact')
    ledger.intend('c2', [{ kind: 'x', key: 'y' }])
    ledger.close()
    const after = new FileLedger(file)
    t.is(after.entries('c2').length, 1)
    after.close()
  }
  fs.rmSync(dir, { recursive: true })
})

test('a ledger of a newer version is refused', (t) => {
  const dir = directory()
  const file = path.join(dir, 'ledger')
  fs.writeFileSync(file, '{"version":2}\n')
  t.throws(() => new FileLedger(file), { message: /newer tsd/ })
  fs.rmSync(dir, { recursive: true })
})

test('garbage lines are counted and skipped', (t) => {
  const dir = directory()
  const file = path.join(dir, 'ledger')
  const lines = [
    '{"t":"i","o":"a","r":[{"kind":"k","key":"1"}]}',
    'garbage',
    '{"t":"x","o":"a","r":[]}',
    '{"t":"f","o":"a","r":[null]}',
    'null',
    '',
  ]
  fs.writeFileSync(file, lines.join('\n'))
  const ledger = new FileLedger(file)
  t.is(ledger.damaged, 4)
  t.is(ledger.entries().length, 1)
  ledger.close()
  fs.rmSync(dir, { recursive: true })
})

test('any history replays to the same state, also through compaction', async (t) => {
  const operation = fc.record({
    op: fc.constantFrom('intend', 'fact', 'released'),
    owner: fc.constantFrom('a', 'b'),
    kind: fc.constantFrom('k', 'l'),
    key: fc.constantFrom('1', '2'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 30 }), fc.nat(30), async (history, compactAt) => {
      const dir = directory()
      const file = path.join(dir, 'ledger')
      const ledger = new FileLedger(file)
      for (const [index, { op, owner, kind, key }] of history.entries()) {
        if (index === compactAt) (ledger as unknown as { compactAt: number }).compactAt = 0
        ledger[op as 'intend'](owner, [{ kind, key }])
        if (index % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setImmediate(resolve))
      const sorted = (l: FileLedger): string[] =>
        l
          .entries()
          .map((entry) => JSON.stringify(entry))
          .sort()
      const expected = sorted(ledger)
      ledger.close()
      const again = new FileLedger(file)
      t.deepEqual(sorted(again), expected)
      t.is(again.damaged, 0)
      again.close()
      fs.rmSync(dir, { recursive: true })
    }),
    { numRuns: 50 },
  )
})

test('kill -9 of the writer between appends loses nothing that it acknowledged', async (t) => {
  const dir = directory()
  const file = path.join(dir, 'ledger')
  const script = `
    const { FileLedger } = await import(${JSON.stringify(new URL('./ledger.js', import.meta.url).href)})
    const ledger = new FileLedger(${JSON.stringify(file)})
    for (let i = 0; ; i++) {
      ledger.intend('c' + i, [{ kind: 'k', key: 'x'.repeat(i % 900) }])
      process.stdout.write(i + '\\n')
      if (i % 50 === 49) await new Promise((r) => setImmediate(r))
    }`
  for (let round = 0; round < 5; round++) {
    const before = fs.existsSync(file) ? new FileLedger(file) : undefined
    before?.close()
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (data: Buffer) => (output += data.toString()))
    await once(child.stdout, 'data')
    setTimeout(() => child.kill('SIGKILL'), 5 + round * 7)
    await once(child, 'close')
    const acknowledged = Number(output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1))
    const ledger = new FileLedger(file)
    t.is(ledger.damaged, 0)
    t.is(ledger.entries(`c${acknowledged}`).length, 1)
    ledger.close()
  }
  fs.rmSync(dir, { recursive: true })
})
