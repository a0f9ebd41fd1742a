import { Client } from '../client.js'
import type { Group } from '../group.js'
import { imageName, payloadClient } from '../payload.js'

const lineBytes = 100
const lines = 2_000_000
const megabytes = (lines * lineBytes) / 1e6

interface Read {
  bytes: number
  seconds: number
}

export const logs: Group = {
  name: 'logs',
  about: `${megabytes} MB of lines through json-file`,
  figures: [
    {
      name: 'logs.write',
      title: `${megabytes} MB of ${lineBytes}-byte lines through json-file`,
      unit: 'MB/s',
      more: true,
      target: { ratio: 4 },
    },
    { name: 'logs.read', title: 'the same read back', unit: 'MB/s', more: true, target: { ratio: 5 } },
  ],
  async run(bench) {
    await bench.alternate(bench.rounds(3), async ({ client, name, socket }) => {
      const id = await client.create(imageName, ['lines', String(lines)], {
        LogConfig: { Type: 'json-file', Config: {} },
        NetworkMode: 'none',
      })
      const began = performance.now()
      await client.start(id)
      const status = await client.wait(id)
      const seconds = (performance.now() - began) / 1000
      if (status !== 0) throw new Error(`${name}: the log writer ended with ${status}`)
      bench.record('logs.write', name, megabytes / seconds)
      const read = await payloadClient<Read>(bench.payload, 'read', socket, `${Client.prefix}/containers/${id}/logs?stdout=1&stderr=1`)
      if (read.bytes < lines * lineBytes)
        throw new Error(`${name}: ${read.bytes} bytes of logs came back, ${lines * lineBytes} were written`)
      bench.record('logs.read', name, megabytes / read.seconds)
      await client.forceRemove(id)
    })
  },
}
