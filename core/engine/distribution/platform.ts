import { invalidParameter } from '../../sdk/errors.js'
import { hostArchitecture } from '../images/index.js'

export interface Platform {
  os: string
  architecture: string
  variant: string
}

const otherNames: Record<string, [architecture: string, variant: string]> = {
  x86_64: ['amd64', ''],
  'x86-64': ['amd64', ''],
  aarch64: ['arm64', ''],
  i386: ['386', ''],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
}

/** One spelling for what has several. */
export function normalized({ os, architecture, variant }: Platform): Platform {
  const [name, implied] = otherNames[architecture.toLowerCase()] ?? [architecture.toLowerCase(), '']
  let version = variant.toLowerCase() || implied
  if (name === 'arm64' && (version === '8' || version === 'v8')) version = ''
  if (name === 'amd64' && version === 'v1') version = ''
  if (name === 'arm') version = version === '' ? 'v7' : version.startsWith('v') ? version : `v${version}`
  return { os: os.toLowerCase(), architecture: name, variant: version }
}

/** `linux/arm64/v8`, `arm64`, `linux`. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  if (parts.length > 3 || !parts.every((part) => /^[A-Za-z0-9_.-]+$/.test(part)))
    throw invalidParameter(`"${text.slice(0, 100)}": unknown operating system or architecture: give OS/ARCH, such as linux/amd64`)
  if (parts.length === 1) {
    const [only = ''] = parts
    return /^(linux|windows|darwin|freebsd)$/i.test(only)
      ? normalized({ os: only, architecture: hostArchitecture, variant: '' })
      : normalized({ os: 'linux', architecture: only, variant: '' })
  }
  const [os = '', architecture = '', variant = ''] = parts
  return normalized({ os, architecture, variant })
}

export const hostPlatform = (): Platform => normalized({ os: 'linux', architecture: hostArchitecture, variant: '' })

export const platformText = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, variant].filter((part) => part !== '').join('/')

/** How well one that is offered serves one that is wanted: lower is better; undefined: not at all. */
export function fitness(wanted: Platform, offered: Platform): number | undefined {
  const [want, have] = [wanted, normalized(offered)]
  if (want.os !== have.os || want.architecture !== have.architecture) return undefined
  if (want.variant === have.variant) return 0
  // Later ARM cores, and later x86-64 levels, run what was built for earlier ones.
  const [newest, built] = [version(want), version(have)]
  return (want.architecture === 'arm' || want.architecture === 'amd64') && built <= newest ? newest - built : undefined
}

const version = ({ architecture, variant }: Platform): number => Number(variant.slice(1)) || (architecture === 'amd64' ? 1 : 0)
