import test from 'ava'
import { Transcript } from './transcript.js'

async function read(transcript: Transcript): Promise<string[]> {
  const said: string[] = []
  for await (const { stream = '' } of transcript) said.push(stream)
  return said
}

test('lanes are told in order, whoever speaks first', async (t) => {
  const transcript = new Transcript(3)
  const reading = read(transcript)
  await transcript.say(2, { stream: 'c' })
  await transcript.say(0, { stream: 'a' })
  await transcript.say(1, { stream: 'b' })
  transcript.close(1)
  transcript.close(0)
  await transcript.say(2, { stream: 'd' })
  transcript.end()
  t.deepEqual(await reading, ['a', 'b', 'c', 'd'])
})

test('a lane far ahead waits for its turn', async (t) => {
  const transcript = new Transcript(2)
  let done = false
  const big = transcript.say(1, { stream: 'x'.repeat(1 << 20) }).then(() => (done = true))
  const reading = read(transcript)
  await transcript.say(0, { stream: 'first' })
  t.false(done)
  transcript.close(0)
  await big
  transcript.end()
  t.is((await reading).length, 2)
})

test('after a failure later lanes are not told, and nobody waits', async (t) => {
  const transcript = new Transcript(3)
  const waiting = transcript.say(2, { stream: 'y'.repeat(1 << 20) })
  await transcript.say(1, { stream: 'told' })
  transcript.end({ error: new Error('broken'), lane: 1 })
  await waiting
  await transcript.say(1, { stream: 'too late' })
  const said: string[] = []
  await t.throwsAsync(
    async () => {
      for await (const { stream = '' } of transcript) said.push(stream)
    },
    { message: 'broken' },
  )
  t.deepEqual(said, ['told'])
})
