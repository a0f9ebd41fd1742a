import type { IPAMConfig, Network, NetworkCreateResponse } from '../../schema/engine-api.js'
import { pairs } from '../container/environment.js'
import { parseNetwork, endpoint } from '../container/networks.js'
import { segment } from '../engine.js'
import type { Values } from '../flags.js'
import { flag } from '../flags.js'
import { goTimestamp, shortId } from '../format/human.js'
import { inspectAll } from '../format/inspection.js'
import { filterFlag, filterQuery, renderListing } from '../format/listing.js'
import { formatFlag, formatOf, inspectFormatFlag } from '../format/option.js'
import { EngineError, ExitStatus } from '../status.js'
import type { Verb } from '../verb.js'
import { confirm } from './confirm.js'
import { subnetsOf } from '../container/subnets.js'

const headers = {
  ID: 'NETWORK ID',
  Name: 'NAME',
  Driver: 'DRIVER',
  Scope: 'SCOPE',
  IPv4: 'IPV4',
  IPv6: 'IPV6',
  Internal: 'INTERNAL',
  Labels: 'LABELS',
  CreatedAt: 'CREATED AT',
}

export const list: Verb = {
  name: 'network ls',
  usage: '[OPTIONS]',
  summary: 'List networks',
  aliases: ['network ls', 'network list'],
  flags: [
    filterFlag('Provide filter values (e.g. "driver=bridge")'),
    formatFlag,
    flag('bool', 'no-trunc', 'Do not truncate the output'),
    flag('bool', 'q,quiet', 'Only display network IDs'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const networks = await engine.get<Network[]>('/networks', { filters: filterQuery(values.list('filter')) })
    const rows = networks
      .toSorted((a, b) => (a.Name ?? '').localeCompare(b.Name ?? '', 'en', { numeric: true }))
      .map((network) => {
        const labels = network.Labels ?? {}
        return {
          CreatedAt: goTimestamp(network.Created ?? ''),
          Driver: network.Driver ?? '',
          ID: values.bool('no-trunc') ? (network.Id ?? '') : shortId(network.Id ?? ''),
          IPv4: String(network.EnableIPv4 ?? true),
          IPv6: String(network.EnableIPv6 ?? false),
          Internal: String(network.Internal ?? false),
          Labels: Object.entries(labels)
            .map(([k, v]) => `${k}=${v}`)
            .sort()
            .join(','),
          Name: network.Name ?? '',
          Scope: network.Scope ?? '',
          Label: (name: unknown) => labels[String(name)] ?? '',
        }
      })
    process.stdout.write(
      await renderListing({
        headers,
        columns: ['ID', 'Name', 'Driver', 'Scope'],
        rows,
        format: formatOf(values),
        quiet: values.bool('quiet') ? 'ID' : undefined,
      }),
    )
  },
}

export const create: Verb = {
  name: 'network create',
  usage: '[OPTIONS] NETWORK',
  summary: 'Create a network',
  flags: [
    flag('bool', 'attachable', 'Enable manual container attachment'),
    flag('map', 'aux-address', 'Auxiliary IPv4 or IPv6 addresses used by Network driver'),
    flag('string', 'config-from', 'The network from which to copy the configuration'),
    flag('bool', 'config-only', 'Create a configuration only network'),
    flag('string', 'd,driver', 'Driver to manage the Network', { default: 'bridge' }),
    flag('strings', 'gateway', 'IPv4 or IPv6 Gateway for the master subnet'),
    flag('bool', 'ingress', 'Create swarm routing-mesh network'),
    flag('bool', 'internal', 'Restrict external access to the network'),
    flag('strings', 'ip-range', 'Allocate container ip from a sub-range'),
    flag('string', 'ipam-driver', 'IP Address Management Driver', { default: 'default' }),
    flag('map', 'ipam-opt', 'Set IPAM driver specific options'),
    flag('bool', 'ipv4', 'Enable or disable IPv4 address assignment', { default: 'true' }),
    flag('bool', 'ipv6', 'Enable or disable IPv6 address assignment'),
    flag('list', 'label', 'Set metadata on a network'),
    flag('map', 'o,opt', 'Set driver specific options'),
    flag('string', 'scope', "Control the network's scope"),
    flag('strings', 'subnet', 'Subnet in CIDR format that represents a network segment'),
  ],
  args: [1, 1],
  async run({ values, args, engine }) {
    const configFrom = values.string('config-from')
    const body = {
      Name: args[0],
      Driver: values.string('driver'),
      Scope: values.string('scope'),
      ...(values.has('ipv4') ? { EnableIPv4: values.bool('ipv4') } : {}),
      ...(values.has('ipv6') ? { EnableIPv6: values.bool('ipv6') } : {}),
      IPAM: ipamOf(values),
      Internal: values.bool('internal'),
      Attachable: values.bool('attachable'),
      Ingress: values.bool('ingress'),
      ConfigOnly: values.bool('config-only'),
      ConfigFrom: configFrom === '' ? null : { Network: configFrom },
      Options: pairs(values.list('opt')),
      Labels: pairs(values.list('label')),
    }
    const created = await engine.post<NetworkCreateResponse>('/networks/create', undefined, body)
    process.stdout.write(`${created.Id}\n`)
  },
}

function ipamOf(values: Values): { Driver: string; Options: Record<string, string>; Config: IPAMConfig[] } {
  const config = subnetsOf(values.list('subnet'), values.list('ip-range'), values.list('gateway'), pairs(values.list('aux-address')))
  return { Driver: values.string('ipam-driver'), Options: pairs(values.list('ipam-opt')), Config: config }
}

export const inspect: Verb = {
  name: 'network inspect',
  usage: '[OPTIONS] NETWORK [NETWORK...]',
  summary: 'Display detailed information on one or more networks',
  flags: [inspectFormatFlag, flag('bool', 'v,verbose', 'Verbose output for diagnostics')],
  args: [1, Infinity],
  run: ({ values, args, engine }) =>
    inspectAll(args, values.string('format'), (name) =>
      engine.text('GET', `/networks/${segment(name)}`, { query: { verbose: values.bool('verbose') ? 'true' : undefined } }),
    ),
}

export const remove: Verb = {
  name: 'network rm',
  usage: 'NETWORK [NETWORK...]',
  summary: 'Remove one or more networks',
  aliases: ['network rm', 'network remove'],
  flags: [flag('bool', 'f,force', 'Do not error if the network does not exist')],
  args: [1, Infinity],
  async run({ values, args, engine }) {
    let failed = false
    for (const name of args) {
      try {
        await engine.delete(`/networks/${segment(name)}`)
        process.stdout.write(`${name}\n`)
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        if (error.status === 404 && values.bool('force')) continue
        process.stderr.write(`${error.message}\n`)
        failed = true
      }
    }
    if (failed) throw new ExitStatus(1)
    return 0
  },
}

export const connect: Verb = {
  name: 'network connect',
  usage: '[OPTIONS] NETWORK CONTAINER',
  summary: 'Connect a container to a network',
  flags: [
    flag('strings', 'alias', 'Add network-scoped alias for the container'),
    flag('strings', 'driver-opt', 'driver options for the network'),
    flag('int', 'gw-priority', 'Highest gw-priority provides the default gateway. Accepts positive and negative values.'),
    flag('string', 'ip', 'IPv4 address (e.g., "172.30.100.104")'),
    flag('string', 'ip6', 'IPv6 address (e.g., "2001:db8::33")'),
    flag('list', 'link', 'Add link to another container'),
    flag('strings', 'link-local-ip', 'Add a link-local address for the container'),
  ],
  args: [2, 2],
  async run({ values, args, engine }) {
    const [network = '', container = ''] = args
    const options = values.list('driver-opt')
    const bad = options.find((option) => !option.includes('='))
    if (bad !== undefined) throw new Error('invalid key/value pair format in driver options')
    const settings = endpoint({
      ...parseNetwork(network),
      target: network,
      aliases: values.list('alias'),
      links: values.list('link'),
      driverOpts: pairs(options),
      ipv4: values.string('ip'),
      ipv6: values.string('ip6'),
      linkLocal: values.list('link-local-ip'),
      gwPriority: values.int('gw-priority'),
    })
    await engine.post(`/networks/${segment(network)}/connect`, undefined, {
      Container: container,
      EndpointConfig: { ...settings, IPAMConfig: settings.IPAMConfig ?? {} },
    })
  },
}

export const disconnect: Verb = {
  name: 'network disconnect',
  usage: '[OPTIONS] NETWORK CONTAINER',
  summary: 'Disconnect a container from a network',
  flags: [flag('bool', 'f,force', 'Force the container to disconnect from a network')],
  args: [2, 2],
  async run({ values, args, engine }) {
    const [network = '', container = ''] = args
    await engine.post(`/networks/${segment(network)}/disconnect`, undefined, { Container: container, Force: values.bool('force') })
  },
}

export const prune: Verb = {
  name: 'network prune',
  usage: '[OPTIONS]',
  summary: 'Remove all unused networks',
  flags: [
    filterFlag('Provide filter values (e.g. "until=<timestamp>")', 'filter'),
    flag('bool', 'f,force', 'Do not prompt for confirmation'),
  ],
  args: [0, 0],
  async run({ values, engine }) {
    const warning = 'WARNING! This will remove all custom networks not used by at least one container.'
    if (!values.bool('force') && !(await confirm(warning))) throw new ExitStatus(1, 'network prune has been cancelled')
    const { NetworksDeleted } = await engine.post<{ NetworksDeleted?: string[] | null }>('/networks/prune', {
      filters: filterQuery(values.list('filter')),
    })
    if (NetworksDeleted?.length) process.stdout.write(`Deleted Networks:\n${NetworksDeleted.join('\n')}\n\n`)
  },
}
