import test from 'ava'
import type { ContainerCreateBody } from '../../../schema/engine-api.js'
import { categoryOf, messageOf } from '../../../sdk/errors.js'
import { fields, refuseUnsupported } from './fields.js'

const body = (value: object) => value as ContainerCreateBody

/** A request that sets the field, and how the refusal names it. */
const refused: [title: string, request: object, shown: string][] = [
  ['field Resources.DeviceRequests', { HostConfig: { DeviceRequests: [{ Driver: 'nvidia', Count: -1 }] } }, 'HostConfig.DeviceRequests'],
  ['field Resources.CpuRealtimePeriod', { HostConfig: { CpuRealtimePeriod: 1000000 } }, 'HostConfig.CpuRealtimePeriod'],
  ['field Resources.CpuRealtimeRuntime', { HostConfig: { CpuRealtimeRuntime: 950000 } }, 'HostConfig.CpuRealtimeRuntime'],
  ['field Resources.CpuCount', { HostConfig: { CpuCount: 2 } }, 'HostConfig.CpuCount'],
  ['field Resources.CpuPercent', { HostConfig: { CpuPercent: 50 } }, 'HostConfig.CpuPercent'],
  ['field Resources.IOMaximumIOps', { HostConfig: { IOMaximumIOps: 1 } }, 'HostConfig.IOMaximumIOps'],
  ['field Resources.IOMaximumBandwidth', { HostConfig: { IOMaximumBandwidth: 1 } }, 'HostConfig.IOMaximumBandwidth'],
  ['field HostConfig.Cgroup', { HostConfig: { Cgroup: 'container:x' } }, 'HostConfig.Cgroup'],
  ['field HostConfig.UsernsMode', { HostConfig: { UsernsMode: 'private' } }, 'HostConfig.UsernsMode'],
  ['field HostConfig.Isolation', { HostConfig: { Isolation: 'hyperv' } }, 'HostConfig.Isolation'],
]

for (const [title, request, shown] of refused)
  test(`${title} is refused by name`, (t) => {
    const error = t.throws(() => refuseUnsupported(body(request)))
    t.is(categoryOf(error), 'NotImplemented')
    t.true(messageOf(error).startsWith(`${shown} is not supported`), messageOf(error))
  })

test('every refused field has its test', (t) => {
  const titles = Object.values(fields).flatMap((rules) =>
    Object.values(rules as Record<string, { refused?: string }>).flatMap((rule) => (rule.refused === undefined ? [] : [rule.refused])),
  )
  t.deepEqual(titles.sort(), refused.map(([title]) => title).sort())
})

test('zero and default values are not refused', (t) => {
  t.notThrows(() =>
    refuseUnsupported(
      body({
        HostConfig: { Init: false, Links: null, UsernsMode: 'host', Isolation: '', DeviceRequests: [], CpuCount: 0, Cgroup: '' },
        NetworkingConfig: { EndpointsConfig: { net: null, other: { Links: [] } } },
      }),
    ),
  )
  t.notThrows(() => refuseUnsupported(body({ HostConfig: { Isolation: 'default' } })))
})
