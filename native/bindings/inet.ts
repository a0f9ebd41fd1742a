/** IP and MAC addresses as the kernel holds them. */

export interface Cidr {
  family: 4 | 6
  bytes: Buffer
  prefix: number
}

function ipv4Bytes(text: string): Buffer | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined
  return Buffer.from(parts.map(Number))
}

function ipv6Bytes(text: string): Buffer | undefined {
  const [head = '', tail, ...more] = text.split('::')
  if (more.length > 0 || !/^[0-9a-fA-F:.]+$/.test(text)) return undefined
  const groups = (part: string): number[] | undefined => {
    if (part === '') return []
    const words: number[] = []
    const pieces = part.split(':')
    for (const [i, piece] of pieces.entries()) {
      const v4 = i === pieces.length - 1 && piece.includes('.') ? ipv4Bytes(piece) : undefined
      if (v4) words.push(v4.readUInt16BE(0), v4.readUInt16BE(2))
      else if (/^[0-9a-fA-F]{1,4}$/.test(piece)) words.push(parseInt(piece, 16))
      else return undefined
    }
    return words
  }
  const left = groups(head)
  const right = groups(tail ?? '')
  if (!left || !right) return undefined
  const missing = 8 - left.length - right.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const result = Buffer.alloc(16)
  const words = [...left, ...new Array<number>(tail === undefined ? 0 : missing).fill(0), ...right]
  words.forEach((word, i) => result.writeUInt16BE(word, i * 2))
  return result
}

/** Bytes of an address without prefix. */
export function addressBytes(text: string): Buffer {
  const value = text.includes(':') ? ipv6Bytes(text) : ipv4Bytes(text)
  if (!value) throw new TypeError(`${JSON.stringify(text)} is not an IP address`)
  return value
}

export function parseCidrBytes(text: string): Cidr {
  const slash = text.indexOf('/')
  const bytes = addressBytes(slash < 0 ? text : text.slice(0, slash))
  const most = bytes.length * 8
  const prefix = slash < 0 ? most : Number(text.slice(slash + 1))
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > most || (slash >= 0 && !/^\d{1,3}$/.test(text.slice(slash + 1)))) {
    throw new TypeError(`${JSON.stringify(text)} is not an address with a prefix length`)
  }
  return { family: bytes.length === 4 ? 4 : 6, bytes, prefix }
}

export function macBytes(text: string): Buffer {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) throw new TypeError(`${JSON.stringify(text)} is not a MAC address`)
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}
