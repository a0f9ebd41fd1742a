import test from 'ava'
import fc from 'fast-check'
import { parseDockerfile, upToTarget } from './stages.js'

test('continued lines, comments in them, directives and stages', (t) => {
  const file = parseDockerfile(
    [
      '\uFEFF# syntax=docker/dockerfile:1',
      '# escape=`',
      '',
      'arg A',
      'FROM a as One',
      '  run x `',
      '# comment',
      '',
      '  && y',
      'FROM one',
      'CMD',
    ].join('\r\n'),
  )
  t.is(file.escape, '`')
  t.is(file.total, 5)
  t.deepEqual(
    file.stages.map(({ name, number, steps }) => [name, number, steps.map(({ kind, line }) => [kind, line.number, line.text])]),
    [
      ['one', 2, [['run', 6, 'run x   && y']]],
      ['', 4, [['cmd', 11, 'CMD']]],
    ],
  )
  t.is(upToTarget(file, 'ONE').total, 3)
  t.is(upToTarget(file, '0').stages.length, 1)
})

test('here-documents end where they say', (t) => {
  const file = parseDockerfile('FROM a\nRUN cat <<A 3<<-"B" x\n\tone\nA\n\t\ttwo\n\tB\nCOPY <<E /x\nE\nRUN echo "<<no"\n')
  const [run, copy, plain] = file.stages[0]?.steps ?? []
  t.deepEqual(run?.line.heredocs, [
    { name: 'A', content: '\tone\n', expands: true },
    { name: 'B', content: 'two\n', expands: false },
  ])
  t.deepEqual(copy?.line.heredocs, [{ name: 'E', content: '', expands: true }])
  t.deepEqual(plain?.line.heredocs, [])
})

test('errors name the line', (t) => {
  const cases: [string, RegExp][] = [
    ['', /no instructions/],
    ['FROM a\nFOO x', /line 2: unknown instruction: FOO/],
    ['FROM a b', /line 1: FROM requires either one or three arguments/],
    ['FROM a AS 1x', /line 1: invalid name for build stage/],
    ['FROM a\nCOPY x', /line 2: COPY requires at least two arguments/],
    ['FROM a\nENV x', /line 2: ENV must have two arguments/],
    ['FROM a\nENV a=1 b', /line 2: can't find = in "b"/],
    ['FROM a\nSHELL sh', /line 2: SHELL requires the arguments to be in JSON form/],
    ['FROM a\nONBUILD ONBUILD RUN x', /line 2: Chaining ONBUILD/],
    ['FROM a\nHEALTHCHECK --interval=x CMD y', /line 2: Interval "interval": invalid duration "x"/],
    ['FROM a\nHEALTHCHECK MAYBE', /line 2: Unknown type "MAYBE"/],
    ['# escape=x\nFROM a', /invalid ESCAPE 'x'/],
    ['# escape=`\n# escape=`\nFROM a', /only one escape parser directive/],
    ['FROM a\nWORKDIR', /line 2: WORKDIR requires exactly one argument/],
    ['FROM a\nRUN --mount=type=tmpfs --network=none --network=host x', /duplicate flag specified: --network/],
  ]
  for (const [text, message] of cases) t.throws(() => parseDockerfile(text), { message }, text)
})

test('white space without end is read in no time', (t) => {
  const spaces = ' '.repeat(500_000)
  const file = parseDockerfile(`# syntax=${spaces}x${spaces}y\nFROM a\nRUN a${spaces}b\\${spaces}\n c${spaces}\nENV a=1${spaces}b=2\n`)
  t.is(file.total, 3)
})

test('no text makes the parser fail in another way than by saying so', (t) => {
  const line = fc.constantFrom(
    'FROM a',
    'RUN <<E',
    'E',
    'COPY --from=x a b',
    'ENV a=',
    '\\',
    '# escape=`',
    'HEALTHCHECK CMD',
    'ONBUILD',
    'x\\',
    '"',
    '--',
    '[',
    'ADD ["a","b"]',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(line, fc.string({ maxLength: 30 })), { maxLength: 12 }), (lines) => {
      try {
        parseDockerfile(lines.join('\n'))
      } catch (error) {
        return (error as { category?: string }).category === 'InvalidParameter'
      }
      return true
    }),
  )
  t.pass()
})
