import type { ShimExitRecord } from '../../native/index.js'

/** The exit record of a shim, `{version, code, signal, oom, time}`; undefined for what is not one. */
export function parseExitRecord(text: string): ShimExitRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { version, code, signal, oom, time } = value as Record<string, unknown>
  if (typeof version !== 'number' || version < 1 || typeof code !== 'number' || typeof signal !== 'number') return undefined
  return { code, signal, oom: oom === true, time: typeof time === 'string' ? time : '' }
}

/** `<version> <pid> <start time>`: the process that a shim keeps. */
export function parsePidRecord(text: string): { pid: number; startTime: string } | undefined {
  const match = /^\d+ (\d+) (\d+)\n$/.exec(text)
  if (match === null || Number(match[1]) <= 1) return undefined
  return { pid: Number(match[1]), startTime: match[2] as string }
}
