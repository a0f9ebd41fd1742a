import type { EngineConfig } from '../ports/index.js'
import type { NetworkCreateRequest } from './contract.js'

function request(name: string, driver: string, ipamDriver: string, options: Record<string, string>): NetworkCreateRequest {
  return {
    name,
    driver,
    internal: false,
    attachable: false,
    ingress: false,
    enableIPv4: true,
    enableIPv6: false,
    options,
    labels: {},
    ipam: { driver: ipamDriver, options: {}, config: [] },
  }
}

/** `bridge`, `host` and `none`, as the configuration wants them. */
export function predefinedRequests(config: EngineConfig): NetworkCreateRequest[] {
  const bridge = request('bridge', 'bridge', 'default', {
    'com.docker.network.bridge.default_bridge': 'true',
    'com.docker.network.bridge.enable_icc': 'true',
    'com.docker.network.bridge.enable_ip_masquerade': 'true',
    'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
    'com.docker.network.bridge.name': config.defaultBridge,
    'com.docker.network.driver.mtu': String(config.mtu || 1500),
  })
  if (config.bip !== '') {
    const [gateway = '', prefix = ''] = config.bip.split('/')
    bridge.ipam.config.push({ subnet: subnetOf(gateway, Number(prefix)), ipRange: '', gateway, auxAddresses: {} })
  }
  return [bridge, request('host', 'host', 'null', {}), request('none', 'null', 'null', {})]
}

function subnetOf(address: string, prefix: number): string {
  const size = 2 ** (32 - prefix)
  const first = Math.floor(address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) / size) * size
  return `${[first >>> 24, (first >>> 16) & 255, (first >>> 8) & 255, first & 255].join('.')}/${prefix}`
}
