import { repositoryOf, type Reference } from '../../base/reference.js'
import type { Engine } from '../engine.js'
import { printProgress } from '../format/progress.js'
import { authHeader } from './credentials.js'

export interface PullRequest {
  /** Without tag and digest: every tag. */
  reference: Reference
  platform: string
  quiet: boolean
  output: NodeJS.WriteStream
}

export async function pullImage(engine: Engine, { reference, platform, quiet, output }: PullRequest): Promise<void> {
  const query = { fromImage: repositoryOf(reference), tag: reference.digest ?? reference.tag, platform: platform || undefined }
  await printProgress(await engine.stream('POST', '/images/create', { query, headers: await authHeader(reference.domain) }), output, quiet)
}
