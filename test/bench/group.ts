import type { Bench } from './bench.js'
import type { Figure } from './figure.js'

/** Figures that are measured together: what `--only` names. */
export interface Group {
  name: string
  about: string
  figures: Figure[]
  run(bench: Bench): Promise<void>
}
