import { promises as dns } from 'node:dns'
import net from 'node:net'
import { invalidParameter, messageOf, type MountInstruction } from 'tsd-engine/sdk'

/** What `docker volume create -o` may say to this driver. */
export interface LocalOptions {
  type: string
  device: string
  /** Comma separated mount options. */
  o: string
}

const known = new Set(['type', 'device', 'o', 'size'])
const needed: Record<string, string[]> = { type: ['device'], device: ['type'], o: ['device', 'type'] }

const nameChars = '[a-zA-Z0-9][a-zA-Z0-9_.-]'
const validName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

export function isVolumeName(name: string): boolean {
  return validName.test(name) && name.length <= 255
}

export function checkName(name: string): void {
  if (name.length === 1) throw invalidParameter('volume name is too short, names should be at least two alphanumeric characters')
  if (name.length > 255) throw invalidParameter(`volume name is too long: ${name.length} characters, at most 255 are allowed`)
  if (!validName.test(name))
    throw invalidParameter(
      `"${name}" includes invalid characters for a local volume name, only "${nameChars}" are allowed. If you intended to pass a host directory, use absolute path`,
    )
}

/** Undefined: an ordinary directory. */
export function parseOptions(options: Record<string, string>): LocalOptions | undefined {
  const keys = Object.keys(options)
  const unknown = keys.find((key) => !known.has(key))
  if (unknown !== undefined) throw invalidParameter(`invalid option: "${unknown}": the local volume driver knows type, o and device`)
  if (options.size !== undefined) throw invalidParameter('quota size requested but no quota support')
  for (const key of keys) {
    const absent = needed[key]?.find((other) => options[other] === undefined)
    if (absent !== undefined) throw invalidParameter(`missing required option: "${absent}"`)
  }
  if (keys.length === 0) return undefined
  const { type = '', device = '', o = '' } = options
  if ([type, device, o].some((value) => value.includes('\0'))) throw invalidParameter('volume options must not contain NUL')
  if (device === '') throw invalidParameter('missing device in volume options')
  const bind = splitOptions(o).some(isBind)
  if (bind && !device.startsWith('/')) throw invalidParameter(`a bind needs an absolute path as device, not "${device}"`)
  if (!bind && !/^[a-zA-Z0-9_.-]+$/.test(type)) throw invalidParameter(`invalid file system type: "${type}"`)
  return { type, device, o }
}

function splitOptions(o: string): string[] {
  return o.split(',').filter((option) => option !== '')
}

const isBind = (option: string): boolean => option === 'bind' || option === 'rbind'

/** The mount that shows the volume. Host names are looked up here: the kernel only takes addresses. */
export async function mountInstruction({ type, device, o }: LocalOptions): Promise<MountInstruction> {
  let options = splitOptions(o)
  if (options.some(isBind)) return { type: 'bind', source: device, options }
  if (type === 'nfs' || type === 'nfs4' || type === 'cifs') options = await resolveAddress(type, device, options)
  return { type, source: device, options }
}

async function resolveAddress(type: string, device: string, options: string[]): Promise<string[]> {
  const index = options.findIndex((option) => option.startsWith('addr='))
  let host = index < 0 ? '' : (options[index] as string).slice('addr='.length)
  if (host === '' && type === 'cifs') host = cifsHost(device)
  if (host === '') return options
  const resolved = `addr=${net.isIP(host) === 0 ? await lookup(host) : host}`
  return index < 0 ? [...options, resolved] : options.map((option, i) => (i === index ? resolved : option))
}

function cifsHost(device: string): string {
  const url = URL.parse === undefined ? undefined : URL.parse(`smb:${device}`)
  const host = url?.hostname ?? /^\/\/([^/:]+)/.exec(device)?.[1] ?? ''
  if (host === '') throw invalidParameter(`error parsing mount device url: no host in "${device}", expected //host/share`)
  return host.replace(/^\[|\]$/g, '')
}

async function lookup(host: string): Promise<string> {
  try {
    return (await dns.lookup(host)).address
  } catch (error) {
    throw invalidParameter(`error resolving passed in network volume address: ${messageOf(error)}`, { cause: error })
  }
}

/** Mount errors quote the options; a password in them must not reach a log. */
export function withoutPassword(text: string, options: LocalOptions): string {
  const password = splitOptions(options.o)
    .find((option) => option.startsWith('password=') || option.startsWith('pass='))
    ?.replace(/^pass(word)?=/, '')
  return password === undefined || password === '' ? text : text.replaceAll(`=${password}`, '=********')
}
