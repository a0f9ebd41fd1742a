import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
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
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-none-'))
    return {
      driver: async () => new NoNetwork(dir),
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
      remove: async () => fs.rmSync(dir, { recursive: true }),
    }
  },
  { strict: false },
)
