import { defineDriver } from 'tsd-engine/sdk'
import { DefaultIpam } from './driver.js'
import { hostBlocks } from './host.js'
import { NullIpam } from './null.js'

export default [
  defineDriver({ kind: 'ipam', name: 'default', create: (ctx) => new DefaultIpam(ctx, hostBlocks) }),
  defineDriver({ kind: 'ipam', name: 'null', create: () => new NullIpam() }),
]
