import http from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import Koa from 'koa'
import { forbidden } from '../sdk/errors.js'
import { chain } from './chain.js'
import type { ApiContext, ApiMiddleware } from './services.js'
import { version } from './middleware/version.js'
import { fakeServices } from './testing/fakes.js'

test('a check between version and routes sees the whole request before anything is done, and its refusal is an answer of Docker', async (t) => {
  const { services } = fakeServices()
  const seen: { path: string; whole: string; api: number; unread: boolean }[] = []
  const check: ApiMiddleware = async (ctx: ApiContext, next) => {
    seen.push({ path: ctx.path, whole: ctx.originalUrl, api: ctx.state.api, unread: !ctx.req.readableDidRead })
    if (ctx.method === 'POST') throw forbidden('authorization denied by plugin p: not today')
    await next()
  }
  const steps = chain(services, { version: '1' })
  const place = steps.indexOf(version) + 1
  t.true(place > 0 && place < steps.length)
  const app = new Koa()
  for (const step of [...steps.slice(0, place), check, ...steps.slice(place)]) app.use(step as Koa.Middleware)
  const handle = app.callback()
  const server = http.createServer((request, response) => void handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.is((await fetch(`${base}/v1.41/_ping`)).status, 200)
  const refused = await fetch(`${base}/v1.41/containers/create?name=web`, { method: 'POST', body: '{"Image":"busybox"}' })
  t.is(refused.status, 403)
  t.deepEqual(await refused.json(), { message: 'authorization denied by plugin p: not today' })
  t.is(refused.headers.get('api-version'), '1.51')
  t.is((await fetch(`${base}/v1.99/info`)).status, 400)
  t.deepEqual(seen, [
    { path: '/_ping', whole: '/v1.41/_ping', api: 41, unread: true },
    { path: '/containers/create', whole: '/v1.41/containers/create?name=web', api: 41, unread: true },
  ])
})
