import { blocksOverlap, formatIpBlock, invalidParameter, type NetworkSpec, notImplemented, parseIpBlock } from 'tsd-engine/sdk'

/** A network as the driver keeps it on disk. */
export interface BridgeNetwork {
  networkId: string
  name: string
  bridge: string
  /** The driver made the bridge, so it removes it. */
  owned: boolean
  /** Network address with prefix, e.g. `172.17.0.0/16`; empty without IPv4. */
  subnet: string
  /** Address of the bridge with prefix; also the gateway of its containers. */
  gateway: string
  /** The same of IPv6. */
  subnetIPv6: string
  gatewayIPv6: string
  /** 0: the kernel's. */
  mtu: number
  icc: boolean
  masquerade: boolean
  internal: boolean
  /** Host address of ports published without one; empty: all. */
  hostBinding: string
}

const BRIDGE = 'com.docker.network.bridge.'

function bool(key: string, value: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false
  throw invalidParameter(`network option ${key}: ${JSON.stringify(value)} is neither true nor false`)
}

export function isIPv4(text: string): boolean {
  return /^(\d{1,3}\.){3}\d{1,3}$/.test(text) && text.split('.').every((part) => Number(part) < 256)
}

function interfaceNameOption(key: string, value: string): string {
  if (value === '' || value.length > 15 || /[\s/:%]/.test(value) || value === '.' || value === '..') {
    throw invalidParameter(`network option ${key}: ${JSON.stringify(value)} is not a name for an interface (1 to 15 characters)`)
  }
  return value
}

function mtuOption(key: string, value: string): number {
  const mtu = /^\d{1,5}$/.test(value) ? Number(value) : -1
  if (mtu !== 0 && (mtu < 68 || mtu > 65535)) {
    throw invalidParameter(`network option ${key}: ${JSON.stringify(value)} is not an MTU from 68 to 65535`)
  }
  return mtu
}

function hostBindingOption(key: string, value: string): string {
  if (!isIPv4(value)) throw invalidParameter(`network option ${key}: ${JSON.stringify(value)} is not an IPv4 address`)
  return value === '0.0.0.0' ? '' : value
}

export function overlaps(a: string, b: string): boolean {
  const x = parseIpBlock(a)?.block
  const y = parseIpBlock(b)?.block
  return x !== undefined && y !== undefined && blocksOverlap(x, y)
}

/** The one block of a family, with the address of the bridge in it. */
function blockOf(spec: NetworkSpec, family: 4 | 6): { subnet: string; gateway: string } {
  const enabled = family === 4 ? spec.enableIPv4 : spec.enableIPv6
  const blocks = family === 4 ? spec.ipv4 : spec.ipv6
  const [block] = blocks
  if (!enabled && blocks.length === 0) return { subnet: '', gateway: '' }
  if (!enabled || !block) throw invalidParameter(`network ${spec.name}: the bridge driver needs an IPv${family} subnet`)
  if (blocks.length > 1) throw invalidParameter(`bridge driver doesn't support multiple subnets`)
  const parsed = parseIpBlock(block.pool)?.block
  if (parsed?.family !== family) throw invalidParameter(`network ${spec.name}: ${block.pool} is not an IPv${family} subnet`)
  if (!block.gateway) throw invalidParameter(`network ${spec.name}: the bridge driver needs a gateway address in ${block.pool}`)
  return { subnet: formatIpBlock(parsed), gateway: `${block.gateway.split('/')[0]}/${parsed.prefix}` }
}

/** Checks what the user asked for. */
export function readSpec(spec: NetworkSpec, defaultBridge: string): BridgeNetwork {
  const four = blockOf(spec, 4)
  const six = blockOf(spec, 6)
  if (four.subnet === '' && six.subnet === '') throw invalidParameter(`network ${spec.name}: the bridge driver needs a subnet`)
  const network: BridgeNetwork = {
    networkId: spec.networkId,
    name: spec.name,
    bridge: `br-${spec.networkId.slice(0, 12)}`,
    owned: false,
    subnet: four.subnet,
    gateway: four.gateway,
    subnetIPv6: six.subnet,
    gatewayIPv6: six.gateway,
    mtu: 0,
    icc: true,
    masquerade: true,
    internal: spec.internal,
    hostBinding: '',
  }
  let named = false
  for (const [key, value] of Object.entries(spec.options)) {
    switch (key) {
      case `${BRIDGE}name`:
        network.bridge = interfaceNameOption(key, value)
        named = true
        break
      case `${BRIDGE}default_bridge`:
        if (bool(key, value) && !named) network.bridge = defaultBridge
        break
      case `${BRIDGE}enable_icc`:
        network.icc = bool(key, value)
        break
      case `${BRIDGE}enable_ip_masquerade`:
        network.masquerade = bool(key, value)
        break
      case `${BRIDGE}host_binding_ipv4`:
        network.hostBinding = hostBindingOption(key, value)
        break
      case 'com.docker.network.driver.mtu':
        network.mtu = mtuOption(key, value)
        break
      case 'com.docker.network.container_iface_prefix':
        interfaceNameOption(key, `${value}0`)
        break
      case `${BRIDGE}gateway_mode_ipv4`:
      case `${BRIDGE}gateway_mode_ipv6`:
        // The way that dockerd takes without the option, and the only one here.
        if (value !== 'nat' && value !== '')
          throw notImplemented(`network option ${key}=${value} is not supported: leave it out, or use nat`)
        break
      case `${BRIDGE}inhibit_ipv4`:
        if (bool(key, value))
          throw notImplemented(`network option ${key} is not supported: leave it out, the bridge has the gateway's address`)
        break
      case `${BRIDGE}trusted_host_interfaces`:
        if (value !== '') throw notImplemented(`network option ${key} is not supported: publish the ports that are to be reached`)
        break
      case 'com.docker.network.host_ipv4':
      case 'com.docker.network.host_ipv6':
        if (value !== '') throw notImplemented(`network option ${key} is not supported: connections leave with the address of their route`)
        break
      default:
        throw invalidParameter(
          `network option ${key} is not known to the bridge driver; it knows ${BRIDGE}{name,enable_icc,enable_ip_masquerade,host_binding_ipv4}, ` +
            `com.docker.network.driver.mtu and com.docker.network.container_iface_prefix`,
        )
    }
  }
  return network
}
