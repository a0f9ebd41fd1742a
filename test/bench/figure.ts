import type { EngineName } from './engine.js'

export type Target =
  /** dockerd's median over tsd's (or the other way round, where more is better) is at least this. */
  | { ratio: number }
  /** tsd's median is below this. */
  | { below: number }
  /** tsd's median is at or below dockerd's. */
  | 'at or below dockerd'

export interface Figure {
  name: string
  title: string
  unit: string
  /** Default: less is better. */
  more?: true
  target?: Target
}

export type Samples = Record<string, Partial<Record<EngineName, number[]>>>

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)] ?? NaN
  const above = sorted[Math.ceil(at)] ?? NaN
  return below + (above - below) * (at - Math.floor(at))
}

export interface Result {
  figure: Figure
  tsd?: { median: number; best: number; samples: number }
  dockerd?: { median: number; best: number; samples: number }
  /** How much better tsd is. */
  ratio?: number
  reached?: boolean
}

export function judge(figure: Figure, samples: Samples): Result {
  const summary = (values: number[] | undefined) =>
    values && values.length > 0
      ? { median: median(values), best: figure.more ? Math.max(...values) : Math.min(...values), samples: values.length }
      : undefined
  const tsd = summary(samples[figure.name]?.tsd)
  const dockerd = summary(samples[figure.name]?.dockerd)
  const result: Result = { figure, ...(tsd && { tsd }), ...(dockerd && { dockerd }) }
  if (tsd && dockerd && tsd.median > 0 && dockerd.median > 0)
    result.ratio = figure.more ? tsd.median / dockerd.median : dockerd.median / tsd.median
  const { target } = figure
  if (!target || !tsd) return result
  if (target === 'at or below dockerd') {
    if (dockerd) result.reached = tsd.median <= dockerd.median
  } else if ('below' in target) result.reached = tsd.median < target.below
  else if (result.ratio !== undefined) result.reached = result.ratio >= target.ratio
  return result
}
