import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { encodeAs, line, type Line } from '../testing/log-lines.js'
import { decodeFrames } from './entry.js'
import { frameFormat } from './frames.js'
import { openGenerations, closeAll } from './generations.js'
import { positionAt } from './position.js'
import { readRecords } from './records.js'

const linesOf = fc
  .array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 60 })
  .map((texts): Line[] => texts.map((text, n) => line(n + 1, `${text.replaceAll('\n', ' ')}\n`)))

const options = { follow: false, stopped: AbortSignal.abort(), signal: new AbortController().signal }

async function inFile<T>(data: Buffer, use: (file: string) => Promise<T>): Promise<T> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'tsd-frames-'))
  try {
    await fs.writeFile(path.join(dir, 'log'), data)
    return await use(path.join(dir, 'log'))
  } finally {
    await fs.rm(dir, { recursive: true })
  }
}

test('frames come out as they went in, wherever the reads are cut', (t) => {
  const property = fc.property(linesOf, fc.array(fc.nat(), { maxLength: 40 }), (all, cuts) => {
    const data = encodeAs('local', all)
    const cutter = frameFormat.cutter()
    const places = [...new Set([0, ...cuts.map((n) => n % data.length), data.length])].sort((a, b) => a - b)
    const whole: Buffer[] = []
    for (const [index, from] of places.slice(0, -1).entries()) {
      const records = cutter.push(Buffer.from(data.subarray(from, places[index + 1])))
      if (records !== undefined) whole.push(Buffer.from(records))
    }
    const messages = whole.flatMap(decodeFrames)
    const expected = all.map(({ text, source, time }) => ({ line: text.slice(0, -1), source, nano: time }))
    t.deepEqual(
      messages.map(({ line: bytes, source, nano }) => ({ line: bytes.toString(), source, nano })),
      expected,
    )
    t.is(cutter.held, 0)
    t.is(frameFormat.count(data), all.length)
  })
  fc.assert(property, { numRuns: 200 })
})

test('whatever stands in a file, reading it ends, and what is whole before the damage is read', async (t) => {
  const property = fc.asyncProperty(linesOf, fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(70), async (all, junk, wanted) => {
    const data = Buffer.concat([encodeAs('local', all), junk])
    await inFile(data, async (file) => {
      const read = async (tail?: number): Promise<string[]> => {
        const texts: string[] = []
        for await (const { records } of readRecords(file, frameFormat, { ...options, ...(tail === undefined ? {} : { tail }) }))
          texts.push(...decodeFrames(records).map(({ line: bytes }) => bytes.toString()))
        return texts
      }
      const found = await read()
      t.deepEqual(
        found.slice(0, all.length),
        all.map(({ text }) => text.slice(0, -1)),
      )
      t.true((await read(wanted)).length <= Math.max(wanted, 0))
    })
  })
  await fc.assert(property, { numRuns: 100 })
})

test('the last ones are found from the end, and reading goes on behind a position', async (t) => {
  const property = fc.asyncProperty(linesOf, fc.nat(70), fc.nat(), async (all, wanted, somewhere) => {
    await inFile(encodeAs('local', all), async (file) => {
      const generations = await openGenerations(file)
      const [generation] = generations
      if (generation === undefined) return t.fail()
      const { position, found, skip } = await frameFormat.tail(generation, wanted)
      t.is(skip, 0)
      t.is(found, Math.min(wanted, all.length))
      t.is(position, encodeAs('local', all.slice(0, all.length - found)).length)
      const before = somewhere % (all.length + 1)
      const after = await positionAt(generation, encodeAs('local', all.slice(0, before)).length)
      await closeAll(generations)
      const texts: string[] = []
      for await (const { records } of readRecords(file, frameFormat, { ...options, after, onLost: () => t.fail() }))
        texts.push(...decodeFrames(records).map(({ line: bytes }) => `${bytes.toString()}\n`))
      t.deepEqual(
        texts,
        all.slice(before).map(({ text }) => text),
      )
    })
  })
  await fc.assert(property, { numRuns: 100 })
})
