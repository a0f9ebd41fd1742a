import { conflict } from '../../sdk/errors.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'
import type { HostFiles } from './host-files.js'
import { noDevices, resolveDevices } from './spec/devices.js'
import type { NamespacePaths, ResolvedMount, SpecInput } from './spec/input.js'
import { ipcMode, networkMode, pidMode, utsMode, type NamespaceMode } from './spec/modes.js'

function liveContainer(ctx: ContainersContext, reference: string, self: Container): Container {
  const peer = ctx.registry.get(reference)
  if (peer === self) throw conflict('cannot join own namespace')
  if (!peer.isLive) throw conflict(`cannot join the namespace of a non running container: container ${peer.id} is not running`)
  return peer
}

function joinedNamespaces(ctx: ContainersContext, container: Container): NamespacePaths {
  const { hostConfig } = container.record
  const path = (mode: NamespaceMode, type: string): string | undefined =>
    mode.kind === 'container' ? `/proc/${liveContainer(ctx, mode.reference, container).record.state.pid}/ns/${type}` : undefined
  return {
    network: path(networkMode(hostConfig.NetworkMode), 'net'),
    pid: path(pidMode(hostConfig.PidMode), 'pid'),
    ipc: path(ipcMode(hostConfig.IpcMode), 'ipc'),
    uts: path(utsMode(hostConfig.UTSMode), 'uts'),
  }
}

/** Host directory of /dev/shm for ipc modes that share it: the container's own when shareable, the peer's when joined. */
export function sharedMemoryPath(ctx: ContainersContext, container: Container): { path: string; own: boolean } | undefined {
  const mode = ipcMode(container.record.hostConfig.IpcMode)
  const pathOf = (id: string): string => `${ctx.config.execRoot}/shm/${id}`
  if (mode.kind === 'shareable') return { path: pathOf(container.id), own: true }
  if (mode.kind !== 'container') return undefined
  const peer = liveContainer(ctx, mode.reference, container)
  if (ipcMode(peer.record.hostConfig.IpcMode).kind !== 'shareable')
    throw conflict(`cannot join IPC of container ${peer.id}: its IPC mode is not shareable (start it with --ipc shareable)`)
  return { path: pathOf(peer.id), own: false }
}

export async function specInput(
  ctx: ContainersContext,
  container: Container,
  parts: { mounts: ResolvedMount[]; files: HostFiles; shmPath: string | undefined },
): Promise<SpecInput> {
  const { config, hostConfig, id } = container.record
  const needsDevices =
    (hostConfig.Devices?.length ?? 0) > 0 ||
    hostConfig.Privileged === true ||
    Object.keys(hostConfig).some((key) => key.startsWith('BlkioDevice') || key === 'BlkioWeightDevice')
  return {
    id,
    config,
    hostConfig,
    hostname: config.Hostname ?? '',
    domainname: config.Domainname ?? '',
    mounts: parts.mounts,
    files: parts.files,
    join: joinedNamespaces(ctx, container),
    shmPath: parts.shmPath,
    devices: needsDevices ? await resolveDevices(hostConfig) : noDevices,
    facts: ctx.facts,
    daemon: ctx.config,
    seccompProfile: ctx.seccompProfile,
    rootPath: 'rootfs',
  }
}
