import test from 'ava'
import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import { answersQuestion, emptyAnswer, fitted, ownAnswer, readQuestion, withId, type Question } from './message.js'

const query = (name: string, type = 'A', more: object = {}): Buffer =>
  dnsPacket.encode({ type: 'query', id: 7, flags: dnsPacket.RECURSION_DESIRED, questions: [{ name, type: type as 'A' }], ...more })

async function question(message: Buffer): Promise<Question> {
  const read = await readQuestion(message)
  if (read === undefined || typeof read === 'number') throw new Error(`no question: ${read}`)
  return read
}

test('a question is read with what its client takes', async (t) => {
  t.like(await question(query('Web.Example', 'AAAA')), { id: 7, name: 'Web.Example', type: 'AAAA', limit: 512, extended: false })
  const additionals = [{ type: 'OPT', name: '.', udpPayloadSize: 1400, flags: 0, options: [] }]
  t.like(await question(query('x', 'A', { additionals })), { limit: 1400, extended: true })
  const tiny = [{ type: 'OPT', name: '.', udpPayloadSize: 1, flags: 0, options: [] }]
  t.is((await question(query('x', 'A', { additionals: tiny }))).limit, 512)
})

test('an answer that does not fit says so, within the limit', async (t) => {
  const message = query('pool')
  const asked = await question(message)
  const many = await ownAnswer(
    asked,
    Array.from({ length: 60 }, (_, i) => ({ type: 'A', data: `10.0.0.${i}` })),
  )
  t.true(many.length > 512)
  const short = fitted(message, many, asked.limit)
  t.true(short.length <= 512)
  const decoded = dnsPacket.decode(short) as dnsPacket.DecodedPacket & { flag_tc: boolean }
  t.true(decoded.flag_tc)
  t.deepEqual(decoded.answers, [])
  t.is(decoded.questions?.[0]?.name, 'pool')
  t.is(fitted(message, many, 0xffff), many)
})

test('answers are of the question asked, or they are none', async (t) => {
  const message = query('web')
  const answer = await ownAnswer(await question(message), [{ type: 'A', data: '10.0.0.1' }])
  t.true(answersQuestion(message, answer))
  t.false(answersQuestion(message, withId(answer, 8)))
  t.false(answersQuestion(query('wob'), answer))
  t.false(answersQuestion(query('web', 'AAAA'), answer))
  t.false(answersQuestion(message, message))
  t.false(answersQuestion(message, answer.subarray(0, 14)))
  t.true(answersQuestion(query('WEB'), answer))
})

test('no bytes break the reader, and every refusal is a message', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc.uint8Array({ maxLength: 60 }).map((tail) => Buffer.concat([Buffer.from('000701000001000000000000', 'hex'), tail])),
    fc.tuple(fc.nat(40), fc.nat(255)).map(([at, value]) => {
      const message = query('web.example', 'PTR')
      message[at % message.length] = value
      return message
    }),
  )
  await fc.assert(
    fc.asyncProperty(bytes, async (raw) => {
      const message = Buffer.from(raw)
      const read = await readQuestion(message)
      answersQuestion(message, message)
      if (typeof read !== 'number') return true
      const answer = emptyAnswer(message, read)
      return (answer.readUInt16BE(2) & 0x800f) === (0x8000 | read) && answer.readUInt16BE(0) === message.readUInt16BE(0)
    }),
    { numRuns: 500 },
  )
  t.pass()
})
