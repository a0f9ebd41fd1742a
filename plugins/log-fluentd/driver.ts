import { randomBytes } from 'node:crypto'
import {
  attributeOptions,
  checkAttributes,
  chosenAttributes,
  flagOption,
  invalidParameter,
  parseBinarySize,
  parseDuration,
  parseLogAddress,
  patient,
  renderTag,
  Stream,
  unavailable,
  type ForwardProtocol,
  type LogInfo,
  type LogMessage,
  type Sender,
  type StreamAddress,
} from 'tsd-engine/sdk'
import { EventTime, pack, readAck, type Packable } from './msgpack.js'

const defaultPort = 24224
const ackDeadline = 30_000
/** What waits is on disk; in memory is at most what one read of it gave. */
const inMemory = 256 * 1024

interface Options {
  address: StreamAddress
  name: string
  async: boolean
  ack: boolean
  subSecond: boolean
  retries: number
  retryWait: number
  /** Milliseconds after which a connection is made anew; 0: never. */
  reconnect: number
}

function addressOf(text: string): Pick<Options, 'address' | 'name'> {
  const { scheme, host, port, path } = parseLogAddress('fluentd-address', text)
  if (scheme === 'unix') return { address: { path }, name: `unix ${path}` }
  if (scheme !== '' && scheme !== 'tcp' && scheme !== 'tls')
    throw invalidParameter(`fluentd-address "${text}": use tcp://, tls:// or unix://`)
  const tls = scheme === 'tls' ? { tls: { servername: /^[\d.]+$|:/.test(host) ? '' : host } } : {}
  const actual = port === 0 ? defaultPort : port
  return { address: { host, port: actual, ...tls }, name: `${scheme === 'tls' ? 'tls' : 'tcp'} ${host}:${actual}` }
}

function milliseconds(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  let value: number
  try {
    value = Number(parseDuration(text) / 1_000_000n)
  } catch {
    throw invalidParameter(`${option} must be a duration such as 500ms or 1s, not '${text}'`)
  }
  if (value < 0) throw invalidParameter(`${option} must not be negative`)
  return value
}

function parse(config: Record<string, string>): Options {
  const older = config['fluentd-async-connect']
  if (older !== undefined && config['fluentd-async'] !== undefined)
    throw invalidParameter('conflicting options: cannot specify both fluentd-async and fluentd-async-connect: use fluentd-async')
  const retries = config['fluentd-max-retries']
  if (retries !== undefined && !/^\d{1,9}$/.test(retries)) throw invalidParameter(`fluentd-max-retries must be a number, not '${retries}'`)
  const limit = config['fluentd-buffer-limit']
  if (limit !== undefined && parseBinarySize(limit) < inMemory)
    throw invalidParameter(
      `fluentd-buffer-limit must be at least ${inMemory / 1024}k: messages wait in files (cache-max-size), not in memory`,
    )
  const reconnect = milliseconds('fluentd-async-reconnect-interval', config['fluentd-async-reconnect-interval'], 0)
  if (reconnect !== 0 && (reconnect < 100 || reconnect > 10_000))
    throw invalidParameter('fluentd-async-reconnect-interval must be from 100ms to 10s')
  return {
    ...addressOf(config['fluentd-address'] ?? `localhost:${defaultPort}`),
    async: flagOption('fluentd-async', config['fluentd-async'] ?? older, false),
    ack: flagOption('fluentd-request-ack', config['fluentd-request-ack'], false),
    subSecond: flagOption('fluentd-sub-second-precision', config['fluentd-sub-second-precision'], false),
    retries: retries === undefined ? Infinity : Number(retries),
    retryWait: milliseconds('fluentd-retry-wait', config['fluentd-retry-wait'], patient.retryWait),
    reconnect,
  }
}

type Encode = (message: LogMessage) => [tag: string, time: Packable, record: Packable]

function encoder(info: LogInfo, subSecond: boolean): Encode {
  const { tag = '' } = info.config
  const name = renderTag(tag === '' ? '{{.ID}}' : tag, info)
  const constant = { container_id: info.containerId, container_name: `/${info.containerName}` }
  const chosen = chosenAttributes(info)
  return ({ source, nano, line, partial }) => [
    name,
    subSecond ? new EventTime(nano) : nano / 1_000_000_000n,
    {
      ...constant,
      source,
      log: line,
      ...chosen,
      ...(partial === undefined
        ? {}
        : {
            partial_message: 'true',
            partial_id: partial.id,
            partial_ordinal: String(partial.ordinal),
            partial_last: String(partial.last),
          }),
    },
  ]
}

async function acknowledged(stream: Stream, message: Packable[], deadline: number): Promise<void> {
  const chunk = randomBytes(16).toString('base64')
  let answer = Buffer.alloc(0)
  const answered = stream.read((data) => {
    answer = Buffer.concat([answer, data])
    return readAck(answer)
  }, deadline)
  answered.catch(() => undefined)
  await stream.write(pack([...message, { chunk }]))
  const ack = await answered
  if (ack !== chunk) throw unavailable(`${stream.name} acknowledged another message`)
}

function sender(stream: Stream, encode: Encode, { ack, reconnect }: Options): Sender {
  const since = Date.now()
  return {
    async send(messages) {
      if (ack)
        for (let message = messages[0]; message !== undefined; message = messages[0]) {
          await acknowledged(stream, encode(message), ackDeadline)
          messages.shift()
        }
      else await stream.write(Buffer.concat(messages.map((message) => pack([...encode(message), {}]))))
    },
    stale: () => reconnect > 0 && Date.now() - since > reconnect,
    close: () => stream.close(),
  }
}

/** Docker's `fluentd`: the forward protocol, a message at a time. */
export const fluentd: ForwardProtocol = {
  name: 'fluentd',
  options: [
    ...attributeOptions,
    'fluentd-address',
    'fluentd-async',
    'fluentd-async-connect',
    'fluentd-async-reconnect-interval',
    'fluentd-buffer-limit',
    'fluentd-max-retries',
    'fluentd-request-ack',
    'fluentd-retry-wait',
    'fluentd-sub-second-precision',
  ],
  check(config) {
    parse(config)
    checkAttributes(config)
  },
  destination(info) {
    const options = parse(info.config)
    const encode = encoder(info, options.subSecond)
    return {
      retryWait: options.retryWait,
      longestWait: Math.max(patient.longestWait, options.retryWait),
      retries: options.retries,
      required: !options.async,
      open: async (signal) => sender(await Stream.open(options.address, options.name, signal), encode, options),
    }
  },
}
