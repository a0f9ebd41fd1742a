import { createHash, type Hash } from 'node:crypto'
import { InvalidInput } from './invalid-input.js'

/** Hex digits of each algorithm that content may be named by. */
const hexLength = { sha256: 64, sha384: 96, sha512: 128 } as const

export type DigestAlgorithm = keyof typeof hexLength

export interface Digest {
  algorithm: DigestAlgorithm
  hex: string
}

/** Reads `sha256:<hex>`. Upper case hex, other lengths and unknown algorithms are refused. */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(':')
  if (colon <= 0 || colon === text.length - 1) throw new InvalidInput('invalid checksum digest format')
  const algorithm = text.slice(0, colon)
  const hex = text.slice(colon + 1)
  if (!Object.hasOwn(hexLength, algorithm)) throw new InvalidInput('unsupported digest algorithm')
  if (hex.length !== hexLength[algorithm as DigestAlgorithm]) throw new InvalidInput('invalid checksum digest length')
  if (!/^[0-9a-f]+$/.test(hex)) throw new InvalidInput('invalid checksum digest format')
  return { algorithm: algorithm as DigestAlgorithm, hex }
}

export function isDigest(text: string): boolean {
  try {
    parseDigest(text)
    return true
  } catch {
    return false
  }
}

/** `sha256:<hex>` of bytes at hand. Large content: use a Verifier as it streams by. */
export function digestOf(data: string | Uint8Array, algorithm: DigestAlgorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest('hex')}`
}

/** Digests a stream of chunks and compares at the end. */
export class Digester {
  readonly algorithm: DigestAlgorithm
  size = 0
  private readonly hash: Hash
  private result: string | undefined

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm
    this.hash = createHash(algorithm)
  }

  update(chunk: Uint8Array): this {
    this.size += chunk.length
    this.hash.update(chunk)
    return this
  }

  digest(): string {
    this.result ??= `${this.algorithm}:${this.hash.digest('hex')}`
    return this.result
  }

  matches(expected: string): boolean {
    return this.digest() === expected
  }
}

export function verifyDigest(data: string | Uint8Array, expected: string): boolean {
  return digestOf(data, parseDigest(expected).algorithm) === expected
}
