import { randomHex } from './random.js'

/** 64 hex digits. Never all digits in the first twelve, so that no short id can be taken for a number. */
export function randomId(): string {
  for (;;) {
    const id = randomHex(32)
    if (!/^[0-9]{12}/.test(id)) return id
  }
}

export function isId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

/** First twelve digits, a leading `sha256:` left out. */
export function shortId(id: string): string {
  const colon = id.indexOf(':')
  return id.slice(colon + 1, colon + 13)
}
