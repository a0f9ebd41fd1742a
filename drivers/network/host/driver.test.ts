import test from 'ava'
import { testNetworkDriver } from 'tsd-engine/sdk/testing'
import { HostNetwork } from './driver.js'

testNetworkDriver(
  (name, run) =>
    test(name, async (t) => {
      await run()
      t.pass()
    }),
  async () => {
    return {
      driver: async () => new HostNetwork(),
      spec: (networkId) => ({
        networkId,
        name: 'host',
        internal: false,
        enableIPv4: true,
        enableIPv6: false,
        options: {},
        ipv4: [],
        ipv6: [],
      }),
      address: () => '',
      remove: async () => undefined,
    }
  },
  { strict: false },
)
