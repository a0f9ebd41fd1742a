import type { Client } from '../client.js'
import type { Group } from '../group.js'
import { imageName, tar } from '../payload.js'

/** Ten steps: half of them run something, as most files do. */
const dockerfile = `FROM ${imageName}
ENV PATH=/ LANG=C
COPY files /app/
RUN ["/payload", "true"]
WORKDIR /app/work
RUN ["/payload", "true"]
COPY config /etc/config
RUN ["/payload", "true"]
RUN ["/payload", "true"]
CMD ["true"]
`

async function context(): Promise<Buffer> {
  const files = Array.from({ length: 100 }, (_, index) => ({ name: `files/${index}`, content: `${index}\n`.repeat(1000) }))
  return tar([{ name: 'Dockerfile', content: dockerfile }, { name: 'files/' }, ...files, { name: 'config', content: 'a=b\n' }])
}

async function timed(client: Client, tag: string, query: string, body: Buffer): Promise<number> {
  const began = performance.now()
  const answer = await client.ask('POST', `/build?rm=1&t=${tag}${query}`, body)
  const took = performance.now() - began
  const text = answer.body.toString()
  if (!text.includes('Successfully tagged')) throw new Error(`build: ${text.slice(-500)}`)
  return took
}

export const build: Group = {
  name: 'build',
  about: 'a Dockerfile of ten steps over the API, anew and from the cache',
  figures: [
    { name: 'build.new', title: 'build of 10 steps, 4 of them RUN', unit: 'ms', target: { ratio: 2.86 } },
    { name: 'build.cached', title: 'the same from the cache', unit: 'ms', target: { ratio: 1 } },
  ],
  async run(bench) {
    const body = await context()
    await bench.alternate(bench.rounds(5), async ({ client, name }, round) => {
      const tag = `tsd-bench/built:${round}`
      bench.record('build.new', name, await timed(client, tag, '&nocache=1', body))
      bench.record('build.cached', name, await timed(client, tag, '', body))
    })
  },
}
