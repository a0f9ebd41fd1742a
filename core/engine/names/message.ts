/** DNS messages. What a container sends, and what a server answers, is believed to be hostile. */
import { randomInt } from 'node:crypto'
import type DnsPacket from 'dns-packet'

/** No question is as long; more is not looked at. */
export const mostQuery = 4096
const HEADER = 12
const CLASSIC_LIMIT = 512
const TTL = 600

export const rcodes = { formatError: 1, serverFailure: 2, notImplemented: 4, refused: 5 } as const
const TRUNCATED = 0x0200
const RESPONSE = 0x8000
const RECURSION_DESIRED = 0x0100
const RECURSION_AVAILABLE = 0x0080
const OPCODES = 0x7800

export interface Question {
  id: number
  name: string
  type: string
  /** What the client takes over udp. */
  limit: number
  recursionDesired: boolean
  /** It speaks EDNS. */
  extended: boolean
}

export interface Answer {
  type: 'A' | 'AAAA' | 'PTR'
  data: string
}

let library: Promise<typeof DnsPacket> | undefined

/** Loaded with the first question. */
const packets = (): Promise<typeof DnsPacket> => (library ??= import('dns-packet').then((module) => module.default))

/** The question, the code of the refusal, or undefined for what deserves no answer. */
export async function readQuestion(message: Buffer): Promise<Question | number | undefined> {
  if (message.length < HEADER) return undefined
  const flags = message.readUInt16BE(2)
  if ((flags & RESPONSE) !== 0) return undefined
  if ((flags & OPCODES) !== 0) return rcodes.notImplemented
  if (message.length > mostQuery || message.readUInt16BE(4) !== 1) return rcodes.formatError
  const { decode } = await packets()
  try {
    const { questions, additionals } = decode(message)
    const [question] = questions ?? []
    if (!question) return rcodes.formatError
    const extension = (additionals ?? []).find(({ type }) => type === 'OPT') as { udpPayloadSize?: number } | undefined
    return {
      id: message.readUInt16BE(0),
      name: question.name,
      // A class of its own, as CHAOS, is nothing that networks have.
      type: question.class === undefined || question.class === 'IN' ? question.type : 'OTHER',
      limit: Math.max(CLASSIC_LIMIT, extension?.udpPayloadSize ?? CLASSIC_LIMIT),
      recursionDesired: (flags & RECURSION_DESIRED) !== 0,
      extended: extension !== undefined,
    }
  } catch {
    return rcodes.formatError
  }
}

/** Where the question of a message ends; undefined when it is not whole. Its names are never compressed. */
function questionEnd(message: Buffer): number | undefined {
  let at = HEADER
  for (;;) {
    const length = message[at]
    if (length === undefined || length > 63 || at > HEADER + 255) return undefined
    at += 1 + length
    if (length === 0) return at + 4 <= message.length ? at + 4 : undefined
  }
}

/** An answer without records: the header and the question, as they came. */
export function emptyAnswer(message: Buffer, rcode: number): Buffer {
  const end = message.readUInt16BE(4) === 1 ? questionEnd(message) : undefined
  const answer = Buffer.from(message.subarray(0, end ?? HEADER))
  answer.writeUInt16BE((message.readUInt16BE(2) & (OPCODES | RECURSION_DESIRED)) | RESPONSE | RECURSION_AVAILABLE | rcode, 2)
  answer.writeUInt16BE(end === undefined ? 0 : 1, 4)
  answer.fill(0, 6, HEADER)
  return answer
}

/** An answer of our own; the records in an order of chance, so that each of several containers has its turn. */
export async function ownAnswer(question: Question, answers: readonly Answer[]): Promise<Buffer> {
  const { encode } = await packets()
  const { id, name, type } = question
  return Buffer.from(
    encode({
      type: 'response',
      id,
      flags: RECURSION_AVAILABLE | (question.recursionDesired ? RECURSION_DESIRED : 0),
      questions: [{ type: type as 'A', class: 'IN', name }],
      answers: shuffled(answers).map((answer) => ({ ...answer, name, ttl: TTL, class: 'IN' })),
      ...(question.extended ? { additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as never] } : {}),
    }),
  )
}

function shuffled<T>(list: readonly T[]): T[] {
  const result = [...list]
  for (let i = result.length - 1; i > 0; i--) {
    const j = randomInt(i + 1)
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}

/** An answer that does not fit is left out, with the flag that has the client ask by tcp. */
export function fitted(message: Buffer, answer: Buffer, limit: number): Buffer {
  if (answer.length <= limit) return answer
  const short = emptyAnswer(message, answer.readUInt16BE(2) & 0xf)
  short.writeUInt16BE(short.readUInt16BE(2) | TRUNCATED, 2)
  return short
}

/** The query under another id. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message)
  copy.writeUInt16BE(id, 0)
  return copy
}

/** Whether a server's message answers what was asked: the id and the whole question must be the same. */
export function answersQuestion(query: Buffer, answer: Buffer): boolean {
  const end = questionEnd(query)
  if (end === undefined || answer.length < end || answer.readUInt16BE(0) !== query.readUInt16BE(0)) return false
  if ((answer.readUInt16BE(2) & RESPONSE) === 0 || answer.readUInt16BE(4) !== 1) return false
  const question = (message: Buffer): string => message.toString('latin1', HEADER, end).toLowerCase()
  return question(query) === question(answer)
}

export const rcodeOf = (answer: Buffer): number => answer.readUInt16BE(2) & 0xf
