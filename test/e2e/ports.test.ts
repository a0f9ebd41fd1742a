import { setTimeout as sleep } from 'node:timers/promises'
import { address, fails, fetchFromHost, fetchIn, inspect, web } from '../fixtures/reach.js'
import { daemonSuite } from '../fixtures/suite.js'

const daemonTest = daemonSuite()

daemonTest('tcp ports are reached from the host, from 127.0.0.1, by hairpin and from other containers', async (t, d) => {
  await web(d, 'pub', '-p', '8080:80')
  await d.ok('run', '-d', '--name', 'cl', 'busybox', 'sleep', '1000')
  const { Gateway: gateway = '' } = (await inspect(d, 'pub')).NetworkSettings.Networks['bridge'] ?? {}
  t.is(await fetchFromHost(d, '127.0.0.1', 8080), 'pub')
  t.is(await fetchFromHost(d, gateway, 8080), 'pub')
  t.is(await fetchIn(d, 'cl', await address(d, 'pub')), 'pub')
  t.is(await fetchIn(d, 'cl', gateway, 8080), 'pub')
  t.is(await fetchIn(d, 'pub', gateway, 8080), 'pub')
  t.is(await d.ok('port', 'pub'), '80/tcp -> 0.0.0.0:8080')
  t.deepEqual((await inspect(d, 'pub')).NetworkSettings.Ports, { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }] })
  t.is(await d.ok('ps', '--filter', 'name=pub', '--format', '{{.Ports}}'), '0.0.0.0:8080->80/tcp')
  await d.ok('rm', '-f', 'pub')
  t.is(await fetchFromHost(d, '127.0.0.1', 8080), 'unreachable')
})

daemonTest('udp ports, ranges, host addresses, ephemeral ports and -P', async (t, d) => {
  // Busybox's nc does not know udp: the host's runs inside, in a chroot of the host's files.
  const listen = 'chroot /host /usr/bin/nc -u -l -p 53 > /tmp/got & sleep 1000'
  await d.ok('run', '-d', '--name', 'udp', '-v', '/:/host:ro', '-p', '5353:53/udp', 'busybox', 'sh', '-c', listen)
  for (let i = 0; i < 20; i += 1) {
    await d.host('sh', '-c', 'echo ping | nc -u -w 1 127.0.0.1 5353')
    if ((await d.docker('exec', 'udp', 'cat', '/tmp/got')).stdout !== '') break
  }
  t.regex(await d.ok('exec', 'udp', 'cat', '/tmp/got'), /ping/)
  await web(d, 'many', '-p', '127.0.0.1:8081:80', '-p', '9000-9002:80-82', '-p', '80', '-p', '9100-9110:83')
  const { Ports: ports } = (await inspect(d, 'many')).NetworkSettings
  t.true(ports['80/tcp']?.some((one) => one.HostIp === '127.0.0.1' && one.HostPort === '8081'))
  t.true(ports['80/tcp']?.some((one) => one.HostPort === '9000'))
  t.deepEqual(ports['81/tcp'], [{ HostIp: '0.0.0.0', HostPort: '9001' }])
  t.deepEqual(ports['82/tcp'], [{ HostIp: '0.0.0.0', HostPort: '9002' }])
  t.is(ports['83/tcp']?.[0]?.HostPort, '9100')
  const ephemeral = ports['80/tcp']?.find((one) => Number(one.HostPort) >= 32768)
  t.truthy(ephemeral)
  t.is(await fetchFromHost(d, '127.0.0.1', Number(ephemeral?.HostPort)), 'many')
  t.is(await fetchFromHost(d, '127.0.0.1', 8081), 'many')
  const { Gateway: gateway = '' } = (await inspect(d, 'many')).NetworkSettings.Networks['bridge'] ?? {}
  t.is(await fetchFromHost(d, gateway, 8081), 'unreachable', 'published on 127.0.0.1 alone')
  await web(d, 'all', '-P', '--expose', '80', '--expose', '7000-7001')
  const published = (await inspect(d, 'all')).NetworkSettings.Ports
  t.deepEqual(Object.keys(published).sort(), ['7000/tcp', '7001/tcp', '80/tcp'])
  t.is(await fetchFromHost(d, '127.0.0.1', Number(published['80/tcp']?.[0]?.HostPort)), 'all')
  await d.ok('run', '-d', '--name', 'exposed', '--expose', '123', 'busybox', 'sleep', '1000')
  t.deepEqual((await inspect(d, 'exposed')).NetworkSettings.Ports, { '123/tcp': null })
})

daemonTest('a port that is taken is refused with its name, and the container can start once it is free', async (t, d) => {
  await web(d, 'one', '-p', '8082:80')
  await fails(
    t,
    d,
    /Bind for 0\.0\.0\.0:8082 failed: port is already allocated/,
    'run',
    '-d',
    '--name',
    'two',
    '-p',
    '8082:80',
    'busybox',
    'sleep',
    '1000',
  )
  t.is(await d.ok('inspect', '-f', '{{.State.Status}}', 'two'), 'created')
  const answer = await d.api('POST', '/containers/two/start')
  t.is(answer.status, 500)
  t.regex(
    answer.json<{ message: string }>().message,
    /driver failed programming external connectivity on endpoint two \([0-9a-f]{64}\): Bind for/,
  )
  await d.ok('rm', '-f', 'one')
  t.is((await d.api('POST', '/containers/two/start')).status, 204)
  await d.ok('rm', '-f', 'two')
  const listener = d.host('timeout', '5', 'busybox', 'nc', '-l', '-p', '8083')
  await sleep(300)
  await fails(t, d, /8083.*address already in use/, 'run', '--rm', '-p', '8083:80', 'busybox', 'true')
  await listener
})
