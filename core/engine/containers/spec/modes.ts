import { invalidParameter } from '../../../sdk/errors.js'

/** A namespace mode of the API: `''` and `private` make a new one. */
export type NamespaceMode =
  { kind: 'private' } | { kind: 'host' } | { kind: 'shareable' } | { kind: 'none' } | { kind: 'container'; reference: string }

function containerMode(mode: string, what: string): NamespaceMode | undefined {
  if (!mode.startsWith('container:')) return undefined
  const reference = mode.slice('container:'.length)
  if (reference === '') throw invalidParameter(`invalid ${what} mode: ${mode}`)
  return { kind: 'container', reference }
}

export function ipcMode(mode = ''): NamespaceMode {
  switch (mode) {
    case '':
    case 'private':
      return { kind: 'private' }
    case 'none':
    case 'host':
    case 'shareable':
      return { kind: mode }
  }
  const joined = containerMode(mode, 'IPC')
  if (!joined) throw invalidParameter(`invalid IPC mode: ${mode}`)
  return joined
}

export function pidMode(mode = ''): NamespaceMode {
  if (mode === '' || mode === 'private') return { kind: 'private' }
  if (mode === 'host') return { kind: 'host' }
  const joined = containerMode(mode, 'PID')
  if (!joined) throw invalidParameter(`invalid PID mode: ${mode}`)
  return joined
}

export function utsMode(mode = ''): NamespaceMode {
  if (mode === '' || mode === 'private') return { kind: 'private' }
  if (mode === 'host') return { kind: 'host' }
  throw invalidParameter(`invalid UTS mode: ${mode}`)
}

export function cgroupnsMode(mode: string | undefined, cgroupVersion: 1 | 2): NamespaceMode {
  if (mode === 'private' || mode === 'host') return { kind: mode }
  if (mode) throw invalidParameter(`invalid cgroup namespace mode: ${mode}`)
  return { kind: cgroupVersion === 2 ? 'private' : 'host' }
}

export function usernsMode(mode = ''): NamespaceMode {
  if (mode === '' || mode === 'host') return { kind: 'host' }
  throw invalidParameter(`invalid USER mode: ${mode}`)
}

/** Network modes that are names of networks are `private`: a namespace of the container's own. */
export function networkMode(mode = ''): NamespaceMode {
  if (mode === 'host') return { kind: 'host' }
  if (mode === 'none') return { kind: 'none' }
  if (mode === 'container' || mode === 'container:') throw invalidParameter('invalid container format container:<name|id>')
  return containerMode(mode, 'network') ?? { kind: 'private' }
}
