import { randomBytes } from 'node:crypto'
import os from 'node:os'
import { promisify } from 'node:util'
import { deflate, gzip } from 'node:zlib'
import {
  attributeOptions,
  checkAttributes,
  chosenAttributes,
  Datagrams,
  invalidParameter,
  parseLogAddress,
  patient,
  renderTag,
  Stream,
  systemError,
  type ForwardProtocol,
  type LogAddress,
  type LogInfo,
  type LogMessage,
  type Sender,
} from 'tsd-engine/sdk'

const severity = { stdout: 6, stderr: 3 }
/** Of a datagram: fits an Ethernet frame with all headers. */
const chunkSize = 1420
const chunkHeader = 12
const chunkMagic = [0x1e, 0x0f]
const mostChunks = 128

const compressors = {
  gzip: promisify(gzip) as (data: Buffer, options: { level: number }) => Promise<Buffer>,
  zlib: promisify(deflate) as (data: Buffer, options: { level: number }) => Promise<Buffer>,
  none: (data: Buffer) => Promise.resolve(data),
}

interface Options {
  address: LogAddress
  compress: (data: Buffer) => Promise<Buffer>
  /** TCP. */
  retries: number
  retryWait: number
}

function whole(option: string, text: string, least: number, most: number): number {
  const value = /^-?\d{1,9}$/.test(text) ? Number(text) : NaN
  if (!(value >= least && value <= most)) throw invalidParameter(`${option} must be a number from ${least} to ${most}, not '${text}'`)
  return value
}

function parse(config: Record<string, string>): Options {
  const text = config['gelf-address'] ?? ''
  if (text === '') throw invalidParameter('gelf-address is a required parameter')
  const address = parseLogAddress('gelf-address', text)
  if (address.scheme !== 'udp' && address.scheme !== 'tcp') throw invalidParameter('gelf: endpoint needs to be TCP or UDP')
  if (address.port === 0) throw invalidParameter(`gelf: please provide gelf-address as ${address.scheme}://host:port`)
  const only = (scheme: string, options: string[]): void => {
    const wrong = address.scheme === scheme ? undefined : options.find((option) => config[option] !== undefined)
    if (wrong !== undefined) throw invalidParameter(`${wrong} option is only supported with ${scheme.toUpperCase()}`)
  }
  only('udp', ['gelf-compression-type', 'gelf-compression-level'])
  only('tcp', ['gelf-tcp-max-reconnect', 'gelf-tcp-reconnect-delay'])
  const type = config['gelf-compression-type'] ?? 'gzip'
  if (!Object.hasOwn(compressors, type)) throw invalidParameter('gelf: compression type must be gzip, zlib or none')
  const level = whole('gelf-compression-level', config['gelf-compression-level'] ?? '1', -1, 9)
  const compressor = compressors[type as keyof typeof compressors]
  return {
    address,
    compress: (data) => compressor(data, { level }),
    retries:
      config['gelf-tcp-max-reconnect'] === undefined ? Infinity : whole('gelf-tcp-max-reconnect', config['gelf-tcp-max-reconnect'], 1, 1e6),
    retryWait:
      config['gelf-tcp-reconnect-delay'] === undefined
        ? patient.retryWait
        : 1000 * whole('gelf-tcp-reconnect-delay', config['gelf-tcp-reconnect-delay'], 1, 3600),
  }
}

function encoder(info: LogInfo): (message: LogMessage) => Buffer {
  const { tag = '' } = info.config
  const constant = {
    _container_id: info.containerId,
    _container_name: info.containerName,
    _image_id: info.containerImageId,
    _image_name: info.containerImageName,
    _command: [info.containerEntrypoint, ...info.containerArgs].join(' '),
    _tag: renderTag(tag === '' ? '{{.ID}}' : tag, info),
    _created: info.containerCreated,
    ...Object.fromEntries(Object.entries(chosenAttributes(info)).map(([name, value]) => [`_${name}`, value])),
  }
  return ({ source, nano, line }) =>
    Buffer.from(
      JSON.stringify({
        version: '1.1',
        host: os.hostname(),
        short_message: line.toString(),
        timestamp: Number(nano / 1_000_000n) / 1000,
        level: severity[source],
        ...constant,
      }),
    )
}

/** One datagram, or up to 128 with a header that the receiver puts them together by. */
export function chunks(data: Buffer): Buffer[] {
  if (data.length <= chunkSize) return [data]
  const room = chunkSize - chunkHeader
  const count = Math.ceil(data.length / room)
  if (count > mostChunks) throw systemError(`a message of ${data.length} bytes is too large for GELF over UDP`, { code: 'EMSGSIZE' })
  const id = randomBytes(8)
  return Array.from({ length: count }, (_, n) =>
    Buffer.concat([Buffer.from(chunkMagic), id, Buffer.from([n, count]), data.subarray(n * room, (n + 1) * room)]),
  )
}

/** GELF knows no message without text: an empty line is not sent. */
const hasText = ({ line }: LogMessage): boolean => line.length > 0

async function overUdp({ address, compress }: Options, encode: (message: LogMessage) => Buffer): Promise<Sender> {
  const packets = await Datagrams.open(address.host, address.port)
  return {
    async send(messages) {
      for (let message = messages[0]; message !== undefined; message = messages[0]) {
        const datagrams = hasText(message) ? chunks(await compress(encode(message))) : []
        for (const datagram of datagrams) await packets.send(datagram)
        messages.shift()
      }
    },
    close: () => packets.close(),
  }
}

async function overTcp({ address }: Options, encode: (message: LogMessage) => Buffer, signal: AbortSignal): Promise<Sender> {
  const { host, port } = address
  const stream = await Stream.open({ host, port }, `tcp ${host}:${port}`, signal)
  const end = Buffer.from([0])
  return {
    send: (messages) => stream.write(Buffer.concat(messages.filter(hasText).flatMap((message) => [encode(message), end]))),
    close: () => stream.close(),
  }
}

/** Docker's `gelf`. */
export const gelf: ForwardProtocol = {
  name: 'gelf',
  options: [
    ...attributeOptions,
    'gelf-address',
    'gelf-compression-type',
    'gelf-compression-level',
    'gelf-tcp-max-reconnect',
    'gelf-tcp-reconnect-delay',
  ],
  check(config) {
    parse(config)
    checkAttributes(config)
  },
  destination(info) {
    const options = parse(info.config)
    const encode = encoder(info)
    const { retries, retryWait } = options
    return {
      ...patient,
      longestWait: Math.max(patient.longestWait, retryWait),
      retries,
      retryWait,
      required: true,
      open: (signal) => (options.address.scheme === 'udp' ? overUdp(options, encode) : overTcp(options, encode, signal)),
    }
  },
}
