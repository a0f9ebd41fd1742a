import test from 'ava'
import { testNetworkDriver } from 'tsd-engine/sdk/testing'
import { NoNetwork } from './driver.js'

testNetworkDriver(
  (name, run) =>
    test(name, async (t) => {
      await run()
      t.pass()
    }),
  async () => {
    return {
      driver: async () => new NoNetwork(),
      spec: (networkId) => ({
        networkId,
        name: 'none',
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
