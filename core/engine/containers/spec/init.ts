import type { OciMount } from '../../../sdk/oci.js'
import type { SpecInput } from './input.js'
import { pidMode } from './modes.js'

/** Where Docker puts it. */
export const INIT_PATH = '/sbin/docker-init'

/** In a process namespace that is shared there is a first process already. */
export function wantsInit({ hostConfig, daemon }: Pick<SpecInput, 'hostConfig' | 'daemon'>): boolean {
  return (hostConfig.Init ?? daemon.init) && pidMode(hostConfig.PidMode).kind === 'private'
}

export function initMount(input: Pick<SpecInput, 'hostConfig' | 'daemon'>): OciMount[] {
  if (!wantsInit(input)) return []
  return [{ destination: INIT_PATH, type: 'bind', source: input.daemon.initPath, options: ['bind', 'ro', 'rprivate'] }]
}
