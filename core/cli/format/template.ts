import { ExitStatus, messageOf } from '../status.js'
import type { Template } from '../template/execute.js'

/** A template from `--format`; one that does not parse ends the command with 64, as it does Docker's. */
export async function templateOf(format: string, prefix = 'template parsing error'): Promise<Template> {
  const [{ compile }, { zeroField }] = await Promise.all([import('../template/execute.js'), import('./zero.js')])
  try {
    return compile(format.replaceAll('\\t', '\t').replaceAll('\\n', '\n'), {}, zeroField)
  } catch (error) {
    throw new ExitStatus(64, `${prefix}: ${messageOf(error)}`)
  }
}

/** Renders one value on a line; the line is ended also when it fails. */
export function printRendered(template: Template, value: unknown): void {
  try {
    process.stdout.write(template.render(value))
  } finally {
    process.stdout.write('\n')
  }
}
