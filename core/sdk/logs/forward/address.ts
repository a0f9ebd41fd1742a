import { invalidParameter } from '../../errors.js'

export interface LogAddress {
  /** Empty: none was written. */
  scheme: string
  host: string
  /** 0: none was written. */
  port: number
  path: string
}

/** `scheme://host:port`, `scheme:///path` or `host:port`. */
export function parseLogAddress(option: string, text: string): LogAddress {
  const bad = (why: string): Error => invalidParameter(`${option} "${text}": ${why}`)
  const [, scheme = '', rest = ''] = /^(?:([a-z+]+):\/\/)?(.*)$/s.exec(text) ?? []
  if (scheme === 'unix' || scheme === 'unixgram') {
    if (!/^\/[^\0]*$/.test(rest)) throw bad('the path of a unix socket must be absolute')
    return { scheme, host: '', port: 0, path: rest }
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/?#\s[\]]+))(?::(\d{1,5}))?\/?$/.exec(rest)
  if (match === null) throw bad('expected scheme://host:port or unix:///path')
  const port = match[3] === undefined ? 0 : Number(match[3])
  if (port > 65_535 || (match[3] !== undefined && port === 0)) throw bad('the port must be 1 to 65535')
  return { scheme, host: match[1] ?? match[2] ?? '', port, path: '' }
}
