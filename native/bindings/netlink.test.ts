import test from 'ava'
import { MessageWriter } from './netlink.js'

test('a message grows over the end of its buffer at any place, whatever is written there', (t) => {
  const writes: [string, (writer: MessageWriter) => unknown, number[]][] = [
    ['u8', (writer) => writer.u8(1), [1]],
    ['u16', (writer) => writer.u16(0x0201), [1, 2]],
    ['u16be', (writer) => writer.u16be(0x0102), [1, 2]],
    ['u32', (writer) => writer.u32(0x04030201), [1, 2, 3, 4]],
    ['raw', (writer) => writer.raw(Buffer.from([1, 2, 3, 4])), [1, 2, 3, 4]],
    ['attrU32be', (writer) => writer.attrU32be(2, 0x01020304), [8, 0, 2, 0, 1, 2, 3, 4]],
  ]
  for (const [name, write, expected] of writes) {
    for (let before = 2016; before <= 2048; before += 4) {
      const writer = new MessageWriter().begin(1, 0, 'test')
      writer.raw(Buffer.alloc(before - 16))
      write(writer)
      t.deepEqual([...writer.bytes().subarray(before, before + expected.length)], expected, `${name} at ${before}`)
    }
  }
})
