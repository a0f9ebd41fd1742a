import { humanDuration } from '../../base/human-duration.js'

export const since = (unixSeconds: number): string => `${humanDuration(Date.now() - unixSeconds * 1000)} ago`

/** `2026-01-31 10:00:00 +0100 CET`, as Go prints a local time. */
export function goTime(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  const offset = -date.getTimezoneOffset()
  const sign = offset < 0 ? '-' : '+'
  const zone = `${sign}${two(Math.trunc(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  const name =
    offset === 0
      ? 'UTC'
      : (new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(date).find((p) => p.type === 'timeZoneName')?.value ??
        zone)
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone} ${name}`
}

export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12)

/** Cuts to a display width, the last cell an ellipsis. Wide characters (CJK, emoji) take two cells. */
export function ellipsis(text: string, width: number): string {
  let used = 0
  let kept = ''
  let fits = ''
  for (const character of text) {
    used += cells(character.codePointAt(0) as number)
    if (used > width) return `${fits}…`
    kept += character
    if (used <= width - 1) fits = kept
  }
  return text
}

const wide: readonly [number, number][] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
]
const cells = (code: number): number => (code < 0x1100 ? 1 : wide.some(([low, high]) => code >= low && code <= high) ? 2 : 1)

/** An RFC 3339 time as Go prints it: `2026-01-31 10:00:00.5 +0000 UTC`. */
export function goTimestamp(text: string): string {
  const [, day, clock, fraction = '', zone = ''] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? []
  if (day === undefined) return text
  const offset = zone === 'Z' ? '+0000 UTC' : `${zone.replace(':', '')} ${zone.replace(':', '')}`
  return `${day} ${clock}${fraction} ${offset}`
}
