import type { Finding, Machine } from './finding.js'
import { kernelFindings } from './kernel.js'
import { networkFindings } from './network.js'
import { programFindings } from './programs.js'
import { storageFindings } from './storage.js'

export async function examine(machine: Machine): Promise<Finding[]> {
  return [...kernelFindings(machine), ...storageFindings(machine), ...(await networkFindings(machine)), ...programFindings(machine)]
}
