import { ExitStatus, messageOf } from '../status.js'
import { indentJson } from './json.js'
import { printRendered, templateOf } from './template.js'

/** Prints what was found, as a JSON array or through the template, then fails with what was not. `find` answers JSON text. */
export async function inspectAll(names: readonly string[], format: string, find: (name: string) => Promise<string>): Promise<number> {
  const found: string[] = []
  const errors: string[] = []
  const template = format === '' || format === 'json' ? undefined : await templateOf(format)
  for (const name of names) {
    try {
      const text = (await find(name)).trim()
      if (!template) found.push(text)
      else {
        try {
          printRendered(template, JSON.parse(text))
        } catch (error) {
          throw new Error(`template parsing error: ${messageOf(error)}`)
        }
      }
    } catch (error) {
      errors.push(messageOf(error))
    }
  }
  if (format === 'json') process.stdout.write(`[${found.join(',')}]\n`)
  else if (!template) process.stdout.write(`${indentJson(`[${found.join(',')}]`)}\n`)
  if (errors.length > 0) throw new ExitStatus(1, errors.join('\n'))
  return 0
}
