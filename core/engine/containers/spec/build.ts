import type { OciSpec } from '../../../sdk/oci.js'
import { buildDevices } from './devices.js'
import type { SpecInput } from './input.js'
import { buildMounts } from './mounts.js'
import { buildNamespaces, buildSysctls } from './namespaces.js'
import { buildProcess } from './process.js'
import { buildResources } from './resources.js'
import { buildSeccomp, MASKED_PATHS, READONLY_PATHS } from './security.js'

export type * from './input.js'

/** Docker joins the parent and the id; an absolute parent is taken as it is. */
export function cgroupsPathOf(parent: string | undefined, fallback: string, id: string): string {
  const base = (parent || fallback).replace(/\/+$/, '')
  return `${base.startsWith('/') ? base : `/${base}`}/${id}`
}

/** The OCI runtime spec of one container. Pure: everything it needs of the host is in the input. */
export function buildSpec(input: SpecInput): OciSpec {
  const { hostConfig } = input
  const privileged = hostConfig.Privileged === true
  const seccomp = buildSeccomp(input)
  const namespaces = buildNamespaces(input)
  const ownUts = namespaces.some((namespace) => namespace.type === 'uts')
  return {
    ociVersion: '1.0.2',
    process: buildProcess(input),
    root: { path: input.rootPath, readonly: hostConfig.ReadonlyRootfs === true },
    ...(ownUts && input.hostname ? { hostname: input.hostname } : {}),
    ...(ownUts && input.domainname ? { domainname: input.domainname } : {}),
    mounts: buildMounts(input),
    linux: {
      namespaces,
      sysctl: buildSysctls(input),
      resources: buildResources(input),
      cgroupsPath: cgroupsPathOf(hostConfig.CgroupParent, input.daemon.cgroupParent, input.id),
      devices: buildDevices(input.devices),
      ...(seccomp ? { seccomp } : {}),
      maskedPaths: hostConfig.MaskedPaths ?? (privileged ? [] : MASKED_PATHS),
      readonlyPaths: hostConfig.ReadonlyPaths ?? (privileged ? [] : READONLY_PATHS),
    },
    ...(hostConfig.Annotations ? { annotations: hostConfig.Annotations } : {}),
  }
}
