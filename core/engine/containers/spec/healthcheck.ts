import type { ContainerConfig } from '../../../schema/engine-api.js'
import { invalidParameter } from '../../../sdk/errors.js'

/** Of a create request, in Docker's words. */
export function checkHealthcheck({ Healthcheck }: ContainerConfig): void {
  if (!Healthcheck) return
  for (const field of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value = Healthcheck[field] ?? 0
    if (value !== 0 && value < 1e6) throw invalidParameter(`${field} in Healthcheck cannot be less than 1ms`)
  }
  if ((Healthcheck.Retries ?? 0) < 0) throw invalidParameter('Retries in Healthcheck cannot be negative')
  const [type, ...rest] = Healthcheck.Test ?? []
  if (type !== undefined && !['', 'NONE', 'CMD', 'CMD-SHELL'].includes(type))
    throw invalidParameter(`Unknown healthcheck type ${JSON.stringify(type)} in Healthcheck.Test: use NONE, CMD or CMD-SHELL`)
  if ((type === 'CMD' || type === 'CMD-SHELL') && rest.length === 0) throw invalidParameter(`Healthcheck.Test has nothing after ${type}`)
}
