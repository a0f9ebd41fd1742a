import type { NameServerRequest } from './contract.js'
import { findAddress, findName, reversedAddress, type Directory } from './lookup.js'
import { emptyAnswer, fitted, ownAnswer, rcodes, readQuestion, type Answer, type Question } from './message.js'
import type { Upstream } from './upstream.js'

type Asker = Pick<NameServerRequest, 'endpoints' | 'keepSingleLabels'>

/** What the networks of the container know; undefined: nothing. */
function ownRecords(directory: Directory, asker: Asker, question: Question): Answer[] | undefined {
  const { name, type } = question
  const endpoints = asker.endpoints()
  switch (type) {
    case 'A':
    case 'AAAA': {
      const { known, addresses } = findName(directory, endpoints, name, type === 'A' ? 4 : 6)
      return known ? addresses.map((data) => ({ type, data })) : undefined
    }
    case 'MX':
      // Nobody outside is asked for the mail of a container.
      return findName(directory, endpoints, name, 4).known ? [] : undefined
    case 'PTR': {
      const address = reversedAddress(name)
      const found = address === undefined ? undefined : findAddress(directory, endpoints, address)
      return found === undefined ? undefined : [{ type, data: found }]
    }
    default:
      return undefined
  }
}

const isAddressType = ({ type }: Question): boolean => type === 'A' || type === 'AAAA'

/** Answers one query of a container: from its networks, or from the servers outside where one of its networks leads there. */
export async function answerQuestion(
  directory: Directory,
  asker: Asker,
  upstream: Upstream,
  query: Buffer,
  kind: 'udp' | 'tcp',
): Promise<Buffer | undefined> {
  const question = await readQuestion(query)
  if (question === undefined) return undefined
  if (typeof question === 'number') return emptyAnswer(query, question)
  const limit = kind === 'tcp' ? 0xffff : question.limit
  const records = ownRecords(directory, asker, question)
  if (records) return fitted(query, await ownAnswer(question, records), limit)
  const wayOut = asker.endpoints().some(({ join }) => join.gateway !== '' || join.gatewayIPv6 !== '')
  if (!wayOut) return emptyAnswer(query, rcodes.serverFailure)
  if (asker.keepSingleLabels && isAddressType(question) && !question.name.replace(/\.$/, '').includes('.')) return emptyAnswer(query, 0)
  const answer = await upstream.ask(query, kind)
  return answer ? fitted(query, answer, limit) : emptyAnswer(query, rcodes.serverFailure)
}
