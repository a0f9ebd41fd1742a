import assert from 'node:assert/strict'
import { categoryOf } from '../errors.js'
import type { JoinRequest, NetworkDriver, NetworkSpec } from '../kinds/network.js'
import type { RegisterTest } from './ipam.js'

/** One driver and what it keeps. */
export interface NetworkSubject {
  /** A new life of the driver on the same state, as after a kill. The last one is not used any more. */
  driver(): Promise<NetworkDriver>
  /** Address blocks and options that fit the driver; the suite makes one network at a time. */
  spec(networkId: string): NetworkSpec
  /** An address of an endpoint as IPAM would give it (CIDR), or empty for drivers without addresses. */
  address(index: number): string
  /** Of drivers with IPv6: a network of both families, and the address that IPAM would add. */
  dual?: { spec(networkId: string): NetworkSpec; addressIPv6(index: number): string }
  remove(): Promise<void>
}

const id = (digit: string): string => `${digit}a`.repeat(32)

async function refused(work: Promise<unknown>, ...categories: string[]): Promise<void> {
  try {
    await work
  } catch (error) {
    assert.ok(categories.includes(categoryOf(error)), `expected ${categories.join(' or ')}, got ${categoryOf(error)}: ${String(error)}`)
    return
  }
  assert.fail(`expected ${categories.join(' or ')}, but the call succeeded`)
}

export interface NetworkSuiteOptions {
  /** Drivers that know no networks (host, none) join whatever they are asked to. */
  strict?: boolean
}

/** What every network driver has to do. The driver is made anew between any two calls, and calls are repeated. */
export function testNetworkDriver(register: RegisterTest, make: () => Promise<NetworkSubject>, options: NetworkSuiteOptions = {}): void {
  const strict = options.strict !== false
  const test = (name: string, run: (subject: NetworkSubject) => Promise<void>): void => {
    register(`network: ${name}`, async () => {
      const subject = await make()
      try {
        await run(subject)
      } finally {
        await subject.remove()
      }
    })
  }
  const request = (subject: NetworkSubject, index: number, more: Partial<JoinRequest> = {}): JoinRequest => ({
    networkId: id('1'),
    endpointId: id(String(index + 2)),
    interfaceName: 'eth0',
    address: subject.address(index),
    addressIPv6: '',
    macAddress: '',
    defaultGateway: true,
    publishedPorts: [],
    exposedPorts: [],
    options: {},
    ...more,
  })
  const endpoint = async (subject: NetworkSubject, index: number): Promise<void> => {
    const { networkId, endpointId, address } = request(subject, index)
    const spec = { networkId, endpointId, address, addressIPv6: '', macAddress: '', options: {} }
    const first = await (await subject.driver()).createEndpoint(spec)
    assert.deepEqual(await (await subject.driver()).createEndpoint(spec), first, 'createEndpoint repeated')
    if (address !== '') assert.equal(first.address, undefined, 'the driver must not answer a field that was given')
  }

  test('says its scope', async (subject) => {
    const { scope } = await (await subject.driver()).capabilities()
    assert.ok(scope === 'local' || scope === 'global')
  })

  test('a network is made, made again, and removed twice', async (subject) => {
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await (await subject.driver()).deleteNetwork(id('1'))
    await (await subject.driver()).deleteNetwork(id('1'))
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await (await subject.driver()).deleteNetwork(id('1'))
  })

  if (strict) {
    test('a network that does not exist cannot be joined', async (subject) => {
      await refused((await subject.driver()).join(request(subject, 0)), 'NotFound')
      await refused((await subject.driver()).createEndpoint({ ...request(subject, 0), address: subject.address(0) }), 'NotFound')
    })

    test('an option that it does not know is refused', async (subject) => {
      const spec = { ...subject.spec(id('1')), options: { 'org.example.no-such-option': '1' } }
      await refused((await subject.driver()).createNetwork(spec), 'InvalidParameter')
      await refused((await subject.driver()).join(request(subject, 0)), 'NotFound')
    })
  }

  test('a join plan is data, and the same when asked again', async (subject) => {
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await endpoint(subject, 0)
    const plan = await (await subject.driver()).join(request(subject, 0))
    assert.deepEqual(JSON.parse(JSON.stringify(plan)), plan)
    assert.deepEqual(await (await subject.driver()).join(request(subject, 0)), plan)
    for (const op of plan.container) assert.ok(op.op !== 'veth' && op.op !== 'move', `${op.op} is a host op`)
    await (await subject.driver()).leave(id('1'), request(subject, 0).endpointId)
    await (await subject.driver()).deleteEndpoint(id('1'), request(subject, 0).endpointId)
    await (await subject.driver()).deleteNetwork(id('1'))
  })

  test('leaving is safe before the plan was carried out, twice, and for what never joined', async (subject) => {
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await endpoint(subject, 0)
    await (await subject.driver()).leave(id('1'), request(subject, 0).endpointId)
    await (await subject.driver()).join(request(subject, 0))
    for (let i = 0; i < 2; i++) {
      await (await subject.driver()).leave(id('1'), request(subject, 0).endpointId)
      await (await subject.driver()).deleteEndpoint(id('1'), request(subject, 0).endpointId)
    }
    await (await subject.driver()).leave(id('1'), id('9'))
    await (await subject.driver()).deleteEndpoint(id('8'), id('9'))
    await (await subject.driver()).deleteNetwork(id('1'))
  })

  test('ports can be published and taken back while an endpoint lives, each twice', async (subject) => {
    const { publish } = await subject.driver()
    if (!publish) return
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await endpoint(subject, 0)
    await (await subject.driver()).join(request(subject, 0))
    const { endpointId } = request(subject, 0)
    const port = { protocol: 'tcp' as const, containerPort: 80, hostIp: '', hostPort: 28_080 }
    for (const ports of [[port], [port], [], []]) await (await subject.driver()).publish?.(id('1'), endpointId, ports)
    await (await subject.driver()).publish?.(id('1'), endpointId, [port])
    await (await subject.driver()).leave(id('1'), endpointId)
    await (await subject.driver()).deleteEndpoint(id('1'), endpointId)
    const gone = await subject.driver()
    if (strict) await refused(gone.publish?.(id('1'), endpointId, [port]) ?? Promise.resolve(), 'NotFound')
    await (await subject.driver()).deleteNetwork(id('1'))
  })

  test('an endpoint of a network of both families has an address and a gateway of each', async (subject) => {
    const { dual } = subject
    if (!dual) return
    await (await subject.driver()).createNetwork(dual.spec(id('1')))
    await (await subject.driver()).createNetwork(dual.spec(id('1')))
    const addressIPv6 = dual.addressIPv6(0)
    const wanted = request(subject, 0, { addressIPv6 })
    const { networkId, endpointId, address } = wanted
    const answer = await (
      await subject.driver()
    ).createEndpoint({ networkId, endpointId, address, addressIPv6, macAddress: '', options: {} })
    assert.equal(answer.addressIPv6, undefined, 'the driver must not answer a field that was given')
    const plan = await (await subject.driver()).join(wanted)
    assert.deepEqual(await (await subject.driver()).join(wanted), plan)
    const given = plan.container.flatMap((op) => (op.op === 'address' ? [op.address] : []))
    assert.deepEqual(given.sort(), [address, addressIPv6].sort())
    assert.ok(plan.gateway.includes('.') && plan.gatewayIPv6.includes(':'), `gateways ${plan.gateway} and ${plan.gatewayIPv6}`)
    const routes = plan.container.flatMap((op) => (op.op === 'route' && op.destination === 'default' ? [op.gateway] : []))
    assert.deepEqual(routes.sort(), [plan.gateway, plan.gatewayIPv6].sort())
    await (await subject.driver()).leave(networkId, endpointId)
    await (await subject.driver()).deleteEndpoint(networkId, endpointId)
    await (await subject.driver()).deleteNetwork(networkId)
  })

  test('two endpoints have links of their own', async (subject) => {
    await (await subject.driver()).createNetwork(subject.spec(id('1')))
    await endpoint(subject, 0)
    await endpoint(subject, 1)
    const one = await (await subject.driver()).join(request(subject, 0))
    const two = await (await subject.driver()).join(request(subject, 1))
    assert.ok(one.links.every((link) => !two.links.includes(link)))
    for (const index of [0, 1]) {
      await (await subject.driver()).leave(id('1'), request(subject, index).endpointId)
      await (await subject.driver()).deleteEndpoint(id('1'), request(subject, index).endpointId)
    }
    await (await subject.driver()).deleteNetwork(id('1'))
  })
}
