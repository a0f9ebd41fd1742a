import { ExitStatus, messageOf } from '../status.js'

/** Does the same to every name, at most 50 at once. A text that the action answers is printed instead of the name; names done are printed in order and failures come last, as Docker does. */
export async function forEach(names: readonly string[], action: (name: string) => Promise<unknown>): Promise<number> {
  const errors: string[] = []
  for (let at = 0; at < names.length; at += 50) {
    const batch = names.slice(at, at + 50)
    const outcomes = await Promise.allSettled(batch.map(action))
    outcomes.forEach((outcome, i) => {
      if (outcome.status === 'rejected') errors.push(messageOf(outcome.reason))
      else process.stdout.write(`${typeof outcome.value === 'string' ? outcome.value : batch[i]}\n`)
    })
  }
  if (errors.length > 0) throw new ExitStatus(1, errors.join('\n'))
  return 0
}
