import { invalidParameter } from '../../sdk/errors.js'

/** Docker's syntax: comma separated single characters or `ctrl-` and one of a-z @ [ \ ] ^ _. */
export function parseDetachKeys(text: string): Buffer {
  const bytes: number[] = []
  for (const part of text.split(',')) {
    if (part.length === 1) {
      bytes.push(part.charCodeAt(0))
      continue
    }
    const match = /^ctrl-([a-z@[\\\]^_])$/i.exec(part)
    if (!match?.[1]) throw invalidParameter(`Invalid detach keys (${text}) provided: unknown character '${part}'`)
    bytes.push(match[1].toUpperCase().charCodeAt(0) & 0x1f)
  }
  return Buffer.from(bytes)
}

export const defaultDetachKeys = Buffer.from([0x10, 0x11])

/** Finds a key sequence in a stream of typed bytes, across chunks; what turned out not to be the sequence is passed on. */
export class DetachMatcher {
  private matched = 0

  constructor(private readonly keys: Buffer) {}

  /** Answers what to pass on, and whether the sequence is complete. */
  feed(data: Uint8Array): { pass: Buffer; detached: boolean } {
    if (this.keys.length === 0) return { pass: Buffer.from(data), detached: false }
    const pass: number[] = []
    for (const byte of data) {
      if (byte === this.keys[this.matched]) {
        this.matched += 1
        if (this.matched === this.keys.length) {
          this.matched = 0
          return { pass: Buffer.from(pass), detached: true }
        }
        continue
      }
      for (let i = 0; i < this.matched; i += 1) pass.push(this.keys[i] ?? 0)
      this.matched = byte === this.keys[0] ? 1 : 0
      if (this.matched === 0) pass.push(byte)
    }
    return { pass: Buffer.from(pass), detached: false }
  }
}
