import { UnixDatagrams } from 'tsd-engine/native'
import {
  attributeOptions,
  checkAttributes,
  chosenAttributes,
  formatTimestamp,
  messageOf,
  patient,
  renderTag,
  unavailable,
  type ForwardProtocol,
  type LogInfo,
  type LogMessage,
} from 'tsd-engine/sdk'

const socketPath = '/run/systemd/journal/socket'
const priority = { stdout: '6', stderr: '3' }
const newline = 0x0a

/** The journal's own form: a line, or the name, the length and the bytes where those have line ends. */
function field(name: string, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  if (bytes.includes(newline)) {
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(bytes.length))
    return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n')])
  }
  return Buffer.concat([Buffer.from(`${name}=`), bytes, Buffer.from('\n')])
}

/** Names of fields are capital letters, digits and underlines, and those that begin with one are the journal's own. */
const fieldName = (name: string): string =>
  name
    .toUpperCase()
    .replace(/[^A-Z0-9_]/g, '_')
    .replace(/^[_0-9]+/, '')
    .slice(0, 64)

/** What goes with every message. */
function constantFields(info: LogInfo): Buffer {
  const { tag = '' } = info.config
  const name = renderTag(tag === '' ? '{{.ID}}' : tag, info)
  const chosen = Object.entries(chosenAttributes(info)).map(([key, value]): [string, string] => [fieldName(key), value])
  const own: [string, string][] = [
    ['CONTAINER_ID', info.containerId.slice(0, 12)],
    ['CONTAINER_ID_FULL', info.containerId],
    ['CONTAINER_NAME', info.containerName],
    ['CONTAINER_TAG', name],
    ['IMAGE_NAME', info.containerImageName],
    ['SYSLOG_IDENTIFIER', name],
  ]
  const known = new Set(own.map(([key]) => key))
  const fields = [...own, ...chosen.filter(([key]) => key !== '' && !known.has(key))]
  return Buffer.concat(fields.map(([key, value]) => field(key, value)))
}

function encode(constant: Buffer, { source, nano, line, partial }: LogMessage): Buffer {
  const parts = [field('MESSAGE', line), field('PRIORITY', priority[source]), field('SYSLOG_TIMESTAMP', formatTimestamp(nano)), constant]
  if (partial !== undefined) {
    parts.push(field('CONTAINER_PARTIAL_ID', partial.id), field('CONTAINER_PARTIAL_ORDINAL', String(partial.ordinal)))
    parts.push(field('CONTAINER_PARTIAL_LAST', String(partial.last)))
    if (!partial.last) parts.push(field('CONTAINER_PARTIAL_MESSAGE', 'true'))
  }
  return Buffer.concat(parts)
}

/** Docker's `journald`, without libsystemd: the journal's socket takes datagrams. */
export const journald = (path = socketPath): ForwardProtocol => ({
  name: 'journald',
  options: attributeOptions,
  check: checkAttributes,
  destination(info) {
    const constant = constantFields(info)
    return {
      ...patient,
      required: true,
      async open() {
        let socket: UnixDatagrams
        try {
          socket = UnixDatagrams.connect(path)
        } catch (error) {
          throw unavailable(`journald is not enabled on this host: ${messageOf(error)}`, { cause: error })
        }
        return {
          async send(messages) {
            for (let message = messages[0]; message !== undefined; message = messages[0]) {
              await socket.send(encode(constant, message))
              messages.shift()
            }
          },
          close: () => socket.close(),
        }
      },
    }
  },
})
