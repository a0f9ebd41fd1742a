import { once } from 'node:events'
import fs from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { ShimLink, type ShimExitRecord } from './connection.js'
import { encodeFrame, u32Payload } from './frame-reader.js'
import { fromShim } from './frames.js'

const killed: ShimExitRecord = { code: 137, signal: 9, oom: false, time: 'now' }

/** A link, and what stands for its shim. */
async function pair(t: ExecutionContext): Promise<{ link: ShimLink; shim: Socket }> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-link-'))
  const server = createServer().listen(path.join(dir, 's'))
  t.teardown(() => {
    server.close()
    fs.rmSync(dir, { recursive: true })
  })
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const link = new ShimLink('x', connect(path.join(dir, 's')), () => Promise.resolve(killed))
  const [shim] = await accepted
  t.teardown(() => {
    link.detach()
    shim.destroy()
  })
  return { link, shim }
}

const u64 = (value: bigint): Buffer => Buffer.from(BigUint64Array.of(value).buffer)
const text = (value: string): Buffer => Buffer.concat([u32Payload(value.length), Buffer.from(value)])
const exitOf = (code: number): Buffer => Buffer.concat([u32Payload(code, 0, 0), text('2024-01-02T03:04:05Z'), u64(0n)])
const hello = (version: number): Buffer =>
  encodeFrame(fromShim.hello, Buffer.concat([u32Payload(version, 2, 7), u64(8n), u64(0n), exitOf(0), text('x')]))
const exit = Buffer.concat([encodeFrame(fromShim.outputEnd), encodeFrame(fromShim.exit, exitOf(5))])

const settled = async (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50))])

test('an exit is told before the mounts are gone, and their end after it', async (t) => {
  const { link, shim } = await pair(t)
  shim.write(Buffer.concat([hello(2), exit]))
  t.like(await link.exited, { code: 5 })
  await link.ended
  t.false(await settled(link.released))
  shim.write(encodeFrame(fromShim.released))
  await link.released
  t.pass()
})

test('a shim that is killed between its exit and the end of its mounts keeps nobody waiting, and its exit stands', async (t) => {
  const { link, shim } = await pair(t)
  shim.write(Buffer.concat([hello(2), exit]))
  await link.ended
  shim.destroy()
  await link.released
  t.like(await link.exited, { code: 5, signal: 0 })
})

test('one that is killed while its process runs is the exit, and holds no mounts', async (t) => {
  const { link, shim } = await pair(t)
  shim.write(hello(2))
  await link.greeted
  shim.destroy()
  t.deepEqual(await link.exited, killed)
  await Promise.all([link.released, link.ended])
})

test('a shim of the first version had let go of its mounts when it told the exit', async (t) => {
  const { link, shim } = await pair(t)
  shim.write(hello(1))
  await link.greeted
  t.false(await settled(link.released))
  shim.write(exit)
  await link.released
  t.like(link.exit, { code: 5 })
})
