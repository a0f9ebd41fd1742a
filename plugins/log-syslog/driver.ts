import fs from 'node:fs/promises'
import os from 'node:os'
import type { ConnectionOptions } from 'node:tls'
import {
  attributeOptions,
  checkAttributes,
  Datagrams,
  flagOption,
  invalidParameter,
  messageOf,
  parseLogAddress,
  patient,
  renderTag,
  Stream,
  unavailable,
  type ForwardProtocol,
  type LogAddress,
  type LogInfo,
  type LogMessage,
  type Sender,
} from 'tsd-engine/sdk'
import { UnixDatagrams } from 'tsd-engine/native'
import { facilityOf, formatter, type Formatter, type SyslogLine } from './format.js'

const schemes = ['unix', 'unixgram', 'udp', 'tcp', 'tcp+tls']
const defaultPort = 514
/** RFC 5424's numbers. */
const severity = { stdout: 6, stderr: 3 }
/** Where the machine's own syslog listens. */
const localSockets = ['/dev/log', '/var/run/syslog', '/var/run/log']

/** Undefined: the machine's own. */
function addressOf(config: Record<string, string>): LogAddress | undefined {
  const text = config['syslog-address'] ?? ''
  if (text === '') return undefined
  const address = parseLogAddress('syslog-address', text)
  if (!schemes.includes(address.scheme))
    throw invalidParameter(`syslog-address "${text}": use one of ${schemes.map((s) => `${s}://`).join(' ')}`)
  return { ...address, port: address.port === 0 ? defaultPort : address.port }
}

/** Reads the files at every connection: certificates are renewed. */
async function tlsOf(config: Record<string, string>, host: string): Promise<ConnectionOptions> {
  const file = async (option: string): Promise<Buffer | undefined> => {
    const name = config[option]
    if (name === undefined || name === '') return undefined
    try {
      return await fs.readFile(name)
    } catch (error) {
      throw invalidParameter(`${option}: ${messageOf(error)}`, { cause: error })
    }
  }
  const [ca, cert, key] = await Promise.all(['syslog-tls-ca-cert', 'syslog-tls-cert', 'syslog-tls-key'].map(file))
  return {
    servername: /^[\d.]+$|:/.test(host) ? '' : host,
    rejectUnauthorized: !flagOption('syslog-tls-skip-verify', config['syslog-tls-skip-verify'], false),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

async function openStream(address: LogAddress, config: Record<string, string>, signal: AbortSignal): Promise<Stream> {
  const { scheme, host, port, path } = address
  if (path !== '') return Stream.open({ path }, `${scheme} ${path}`, signal)
  const tls = scheme === 'tcp+tls' ? { tls: await tlsOf(config, host) } : {}
  return Stream.open({ host, port, ...tls }, `${scheme} ${host}:${port}`, signal)
}

function streamSender(stream: Stream, encode: (message: LogMessage) => Buffer): Sender {
  return { send: (messages) => stream.write(Buffer.concat(messages.map(encode))), close: () => stream.close() }
}

function packetSender(packets: { send(data: Buffer): Promise<void>; close(): void }, encode: (message: LogMessage) => Buffer): Sender {
  return {
    send: async (messages) => {
      for (let message = messages[0]; message !== undefined; message = messages[0]) {
        await packets.send(encode(message))
        messages.shift()
      }
    },
    close: () => packets.close(),
  }
}

/** As the C library: datagrams, or a stream where the socket is one. */
async function openLocal(paths: string[], encode: (message: LogMessage) => Buffer, signal: AbortSignal): Promise<Sender> {
  const faults: string[] = []
  for (const path of paths) {
    try {
      return packetSender(UnixDatagrams.connect(path), encode)
    } catch (error) {
      faults.push(messageOf(error))
      if ((error as { code?: unknown }).code === 'EPROTOTYPE')
        return streamSender(await Stream.open({ path }, `unix ${path}`, signal), encode)
    }
  }
  throw unavailable(`Unix syslog delivery error: ${faults.join('; ')}`)
}

function encoder(info: LogInfo, format: Formatter): (message: LogMessage) => Buffer {
  const { tag = '' } = info.config
  const facility = facilityOf(info.config['syslog-facility'])
  const constant: Pick<SyslogLine, 'host' | 'tag' | 'pid'> = {
    host: os.hostname(),
    tag: renderTag(tag === '' ? '{{.ID}}' : tag, info),
    pid: process.pid,
  }
  return ({ source, nano, line }) => format({ ...constant, priority: facility * 8 + severity[source], time: nano, text: line })
}

/** Docker's `syslog`. */
export const syslog: ForwardProtocol = {
  name: 'syslog',
  options: [
    ...attributeOptions,
    'syslog-address',
    'syslog-facility',
    'syslog-format',
    'syslog-tls-ca-cert',
    'syslog-tls-cert',
    'syslog-tls-key',
    'syslog-tls-skip-verify',
  ],

  async check(config) {
    const address = addressOf(config)
    facilityOf(config['syslog-facility'])
    formatter(config['syslog-format'] ?? '', false)
    flagOption('syslog-tls-skip-verify', config['syslog-tls-skip-verify'], false)
    if (address?.scheme === 'tcp+tls') await tlsOf(config, address.host)
    else if (['ca-cert', 'cert', 'key', 'skip-verify'].some((name) => config[`syslog-tls-${name}`] !== undefined))
      throw invalidParameter('options syslog-tls-* need a syslog-address that begins with tcp+tls://')
    checkAttributes(config)
  },

  destination(info) {
    const { config } = info
    const address = addressOf(config)
    const format = config['syslog-format'] ?? ''
    const encode = encoder(info, formatter(format, address?.scheme === 'tcp+tls' && format.startsWith('rfc5424')))
    return {
      ...patient,
      required: true,
      open: async (signal) => {
        if (address === undefined) return openLocal(localSockets, encode, signal)
        if (address.scheme === 'unixgram') return packetSender(UnixDatagrams.connect(address.path), encode)
        if (address.scheme === 'udp') return packetSender(await Datagrams.open(address.host, address.port), encode)
        return streamSender(await openStream(address, config, signal), encode)
      },
    }
  },
}
