import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Result, Samples, Target } from './figure.js'

function number(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function goal(target: Target | undefined): string {
  if (target === undefined) return ''
  if (target === 'at or below dockerd') return '<= dockerd'
  return 'ratio' in target ? `>= ${target.ratio}x` : `< ${target.below}`
}

export function table(results: Result[]): string {
  const cell = (summary: Result['tsd']): string => (summary ? `${number(summary.median)} (${number(summary.best)})` : '-')
  const rows = [
    ['figure', 'unit', 'tsd', 'dockerd', 'ratio', 'target', ''],
    ...results.map(({ figure, tsd, dockerd, ratio, reached }) => [
      figure.title,
      figure.unit,
      cell(tsd),
      cell(dockerd),
      ratio === undefined ? '' : `${number(ratio)}x`,
      goal(figure.target),
      reached === undefined ? '' : reached ? 'reached' : 'NOT REACHED',
    ]),
  ]
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const numeric = (column: number): boolean => column >= 2 && column <= 4
  return rows
    .map((row) =>
      row
        .map((text, column) => (numeric(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export interface Report {
  date: string
  commit: string
  machine: { kernel: string; cpus: number; model: string; memory: number; node: string }
  load: { before: number[]; after: number[]; groups: Record<string, number> }
  results: Result[]
  samples: Samples
  notes: string[]
}

export function machine(): Report['machine'] {
  const cpus = os.cpus()
  return { kernel: os.release(), cpus: cpus.length, model: cpus[0]?.model ?? '', memory: os.totalmem(), node: process.version }
}

export function writeReport(file: string, report: Report): void {
  fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true })
  fs.writeFileSync(`${file}.new`, `${JSON.stringify(report, undefined, 2)}\n`)
  fs.renameSync(`${file}.new`, file)
}
