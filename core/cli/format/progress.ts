import { formatDecimalSize } from '../../base/sizes.js'
import { jsonLines } from '../engine.js'

export interface ProgressMessage {
  stream?: string
  status?: string
  id?: string
  progressDetail?: { current?: number; total?: number }
  error?: string
  errorDetail?: { message?: string }
}

type Output = NodeJS.WriteStream

const barWidth = 30
/** Narrower terminals get the numbers alone. */
const leastForBar = 90

function amount({ current, total }: { current?: number; total?: number } = {}, columns: number): string {
  if (current === undefined) return ''
  if (total === undefined || total <= 0) return ` ${formatDecimalSize(current)}`
  const done = Math.min(barWidth, Math.floor((current / total) * barWidth))
  const bar =
    columns < leastForBar ? '' : ` [${'='.repeat(done)}${done < barWidth ? '>' : ''}${' '.repeat(Math.max(0, barWidth - done - 1))}]`
  return `${bar} ${formatDecimalSize(current)}/${formatDecimalSize(total)}`
}

/** One line for each id, redrawn in place. */
class Screen {
  private readonly lines: string[] = []

  constructor(private readonly output: Output) {}

  draw(id: string, text: string): void {
    const width = this.output.columns || 80
    const line = `${id}: ${text}`.slice(0, width - 1)
    const at = this.lines.indexOf(id)
    if (at < 0) {
      this.lines.push(id)
      this.output.write(`${line}\n`)
      return
    }
    const up = this.lines.length - at
    // What scrolled out of the window cannot be reached any more.
    if (up < (this.output.rows || 24)) this.output.write(`\x1b[${up}A\r\x1b[2K${line}\x1b[${up}B\r`)
  }

  /** What comes next stands below. */
  settle(): void {
    this.lines.length = 0
  }
}

/** Prints what the engine says of its work: bars on a terminal, a line for each change elsewhere. An error of it is thrown. */
export async function printProgress(stream: NodeJS.ReadableStream, output: Output, quiet = false): Promise<void> {
  const screen = output.isTTY ? new Screen(output) : undefined
  for await (const message of jsonLines<ProgressMessage>(stream)) {
    if (message.error !== undefined) throw new Error(message.errorDetail?.message ?? message.error)
    const { status, id, progressDetail } = message
    if (quiet) continue
    if (message.stream !== undefined) output.write(message.stream)
    else if (status === undefined) continue
    else if (id === undefined) {
      screen?.settle()
      output.write(`${status}\n`)
    } else if (screen !== undefined) screen.draw(id, status + amount(progressDetail, output.columns || 80))
    else if (progressDetail?.current === undefined) output.write(`${id}: ${status}\n`)
  }
}
