import os from 'node:os'
import { invalidParameter } from '../../sdk/errors.js'

const realtimeMin = 34
const realtimeMax = 64

/** `KILL`, `SIGKILL`, `9`, `RTMIN+3` to a number. */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text)
    if (number >= 1 && number <= realtimeMax) return number
    throw invalidParameter(`Invalid signal: ${text}`)
  }
  const name = text.toUpperCase().replace(/^SIG/, '')
  const realtime = /^RTM(IN|AX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (realtime) {
    const base = realtime[1] === 'IN' ? realtimeMin : realtimeMax
    const number = base + (realtime[2] === '-' ? -1 : 1) * Number(realtime[3] ?? 0)
    if (number >= realtimeMin && number <= realtimeMax) return number
  }
  const number = (os.constants.signals as Record<string, number | undefined>)[`SIG${name}`]
  if (number === undefined) throw invalidParameter(`Invalid signal: ${text}`)
  return number
}
