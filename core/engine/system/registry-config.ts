import type { SystemInfo } from '../../schema/engine-api.js'
import type { EngineConfig } from '../ports/index.js'

/** `RegistryConfig` of `GET /info`. */
export function registryConfig(config: Pick<EngineConfig, 'registryMirrors' | 'insecureRegistries'>): SystemInfo['RegistryConfig'] {
  const mirrors = config.registryMirrors.map((mirror) => `${mirror}/`)
  const ranges = config.insecureRegistries.filter((one) => one.includes('/'))
  const hosts = config.insecureRegistries.filter((one) => !one.includes('/'))
  return {
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8', ...ranges],
    IndexConfigs: {
      'docker.io': { Name: 'docker.io', Mirrors: mirrors, Secure: true, Official: true },
      ...Object.fromEntries(hosts.map((host) => [host, { Name: host, Mirrors: [], Secure: false, Official: false }])),
    },
    Mirrors: mirrors.length === 0 ? null : mirrors,
  }
}
