import type { Finding } from './finding.js'

const columns: readonly [string, (f: Finding) => string][] = [
  ['CHECK', (f) => f.check],
  ['STATUS', (f) => f.status],
  ['MATTERS TO', (f) => f.matters],
  ['DETAIL', (f) => f.detail],
]

export function table(findings: readonly Finding[]): string {
  const rows = [columns.map(([name]) => name), ...findings.map((f) => columns.map(([, cell]) => cell(f)))]
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => (row[i] as string).length)))
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd((widths[i] as number) + 3))).join('')
  const indent = ' '.repeat((widths[0] as number) + 3)
  const body = findings.flatMap((f, i) => [line(rows[i + 1] as string[]), ...(f.wayOut === '' ? [] : [`${indent}-> ${f.wayOut}`])])
  return [line(rows[0] as string[]), ...body].join('\n') + '\n'
}

export function json(findings: readonly Finding[]): string {
  return (
    JSON.stringify(
      findings.map(({ check, status, detail, matters, wayOut, required }) => ({
        Check: check,
        Status: status,
        Detail: detail,
        MattersTo: matters,
        WayOut: wayOut,
        Required: required,
      })),
      null,
      2,
    ) + '\n'
  )
}

export const blocked = (findings: readonly Finding[]): Finding[] => findings.filter((f) => f.required && f.status === 'missing')

export function verdict(findings: readonly Finding[], root: boolean): string {
  const blocking = blocked(findings)
  const unasked = root ? '' : '\nNot root: overlay, links, nftables and foreign firewalls were not tried. sudo tsd doctor tries them.'
  if (blocking.length > 0) return `\nNo container will run on this machine: ${blocking.map((f) => f.check).join(', ')} missing.${unasked}\n`
  const missing = findings.filter((f) => f.status === 'missing')
  return `\n${missing.length === 0 ? 'All that was checked is there.' : `Containers run; without ${missing.map((f) => f.check).join(', ')}.`}${unasked}\n`
}
