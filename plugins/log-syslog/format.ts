import { invalidParameter } from 'tsd-engine/sdk'

const facilities = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp'].map((name, code) => [
    name,
    code,
  ]),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => [`local${n}`, 16 + n]),
] as [string, number][]
const codes = new Map(facilities)

/** By name or number; Docker's default is daemon. */
export function facilityOf(text: string | undefined): number {
  if (text === undefined || text === '') return codes.get('daemon') as number
  const code = codes.get(text) ?? (/^\d{1,2}$/.test(text) ? Number(text) : -1)
  if (code < 0 || code > 23) throw invalidParameter(`invalid syslog facility "${text}": use ${[...codes.keys()].join(', ')} or 0 to 23`)
  return code
}

export interface SyslogLine {
  priority: number
  time: bigint
  host: string
  tag: string
  pid: number
  text: Buffer
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const two = (n: number): string => String(n).padStart(2, '0')
const dateOf = (time: bigint): Date => new Date(Number(time / 1_000_000n))
const clockOf = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`

/** Local time without a year, as RFC 3164 has it. */
function stamp(time: bigint): string {
  const date = dateOf(time)
  return `${months[date.getMonth()] ?? ''} ${String(date.getDate()).padStart(2)} ${clockOf(date)}`
}

/** RFC 3339 in local time, with six digits of a second if wanted. */
function isoStamp(time: bigint, micro: boolean): string {
  const date = dateOf(time)
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const fraction = micro ? `.${String((time / 1_000n) % 1_000_000n).padStart(6, '0')}` : ''
  const minutes = -date.getTimezoneOffset()
  const zone = minutes === 0 ? 'Z' : `${minutes < 0 ? '-' : '+'}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`
  return `${day}T${clockOf(date)}${fraction}${zone}`
}

/** A field of RFC 5424: printable, no blanks, never empty. */
const word = (text: string, longest: number): string => text.replace(/[^\x21-\x7e]/g, '_').slice(0, longest) || '-'

const rfc5424 =
  (micro: boolean) =>
  ({ priority, time, host, tag, pid }: SyslogLine): string =>
    `<${priority}>1 ${isoStamp(time, micro)} ${word(host, 255)} ${word(tag, 48)} ${pid} ${word(tag, 32)} - `

const headers: Record<string, (line: SyslogLine) => string> = {
  '': ({ priority, time, tag, pid }) => `<${priority}>${stamp(time)} ${tag}[${pid}]: `,
  rfc3164: ({ priority, time, host, tag, pid }) => `<${priority}>${stamp(time)} ${host} ${tag}[${pid}]: `,
  rfc5424: rfc5424(false),
  rfc5424micro: rfc5424(true),
}

export type Formatter = (line: SyslogLine) => Buffer

const lf = Buffer.from('\n')

/** Docker's `syslog-format`. `counted`: RFC 5425's length before each message, else a newline behind it. */
export function formatter(format: string, counted: boolean): Formatter {
  const header = Object.hasOwn(headers, format) ? headers[format] : undefined
  if (header === undefined)
    throw invalidParameter(`Invalid syslog format "${format}": use ${Object.keys(headers).filter(Boolean).join(', ')}`)
  return (line) => {
    const message = Buffer.concat([Buffer.from(header(line)), line.text, lf])
    return counted ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message
  }
}
