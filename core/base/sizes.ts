import { InvalidInput } from './invalid-input.js'

const units = ['', 'k', 'm', 'g', 't', 'p']

function parse(text: string, base: number): number {
  const match = /^([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?([^0-9. ]*)$/.exec(text)
  if (match === null) throw new InvalidInput(`invalid size: '${text}'`)
  const suffix = (match[2] as string).toLowerCase()
  const parts = /^(?:b|([kmgtp])(?:i?b)?)?$/.exec(suffix)
  if (parts === null) throw new InvalidInput(`invalid suffix: '${suffix}'`)
  const size = Math.trunc(Number(match[1]) * base ** units.indexOf(parts[1] ?? ''))
  if (!Number.isSafeInteger(size)) throw new InvalidInput(`invalid size: '${text}'`)
  return size
}

/** Memory sizes as Docker reads them: `64m` is 64 * 1024 * 1024, whatever the spelling of the unit. */
export function parseBinarySize(text: string): number {
  return parse(text, 1024)
}

/** Sizes as people mean them: `10m` is 10,000,000. Docker reads log and disk sizes so. */
export function parseDecimalSize(text: string): number {
  return parse(text, 1000)
}

/** C's %.Ng: significant digits, without trailing zeros, exponent only where C uses one. */
function significant(value: number, precision: number): string {
  const exponent = value === 0 ? 0 : Math.floor(Math.log10(Number(value.toPrecision(precision))))
  if (exponent < precision && exponent >= -4) return String(Number(value.toPrecision(precision)))
  const [mantissa, power] = value.toExponential(precision - 1).split('e') as [string, string]
  const digits = power.slice(1).padStart(2, '0')
  return `${String(Number(mantissa))}e${power[0] === '-' ? '-' : '+'}${digits}`
}

function format(size: number, base: number, names: string[], precision: number): string {
  let value = size
  let index = 0
  while (value >= base && index < names.length - 1) {
    value /= base
    index++
  }
  return significant(value, precision) + (names[index] as string)
}

/** `1.23MB`: decimal, as `docker images` and `docker ps -s` print with three digits. */
export function formatDecimalSize(size: number, precision = 4): string {
  return format(size, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'], precision)
}

/** `1.23MiB`: binary, as `docker stats` and `docker info` print. */
export function formatBinarySize(size: number, precision = 4): string {
  return format(size, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB'], precision)
}
