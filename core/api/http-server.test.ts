import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { createHttpServer } from './http-server.js'

test('a client that is answered before it has sent its body reads the answer', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-http-'))
  const socketPath = path.join(dir, 's')
  const server = createHttpServer((_request, response) => response.writeHead(413).end('too much'), { lenient: true })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  t.teardown(() => {
    server.close()
    fs.rmSync(dir, { recursive: true })
  })
  const client = net.connect({ path: socketPath, allowHalfOpen: true })
  const errors: Error[] = []
  client.on('error', (error) => errors.push(error))
  let answer = ''
  client.on('data', (data) => (answer += data.toString()))
  const ended = new Promise((resolve) => client.once('close', resolve))
  const piece = Buffer.alloc(64 << 10)
  client.write(`POST / HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: ${piece.length * 20}\r\n\r\n`)
  for (let i = 0; i < 20 && errors.length === 0; i += 1) {
    client.write(piece)
    await sleep(5)
  }
  client.end()
  await ended
  t.deepEqual(errors, [])
  t.regex(answer, /^HTTP\/1.1 413 [^]*too much/)
})
