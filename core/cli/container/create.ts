import fs from 'node:fs'
import type { ContainerCreateResponse } from '../../schema/engine-api.js'
import { familiarString, parseAnyReference, withDefaultTag } from '../../base/reference.js'
import type { Engine } from '../engine.js'
import type { Values } from '../flags.js'
import { pullImage } from '../registry/pull.js'
import { EngineError, UsageError } from '../status.js'
import type { ContainerRequest } from './config.js'

/** Creates the container, pulling its image first where `--pull` says so or the engine does not have it. */
export async function createContainer(engine: Engine, values: Values, request: ContainerRequest): Promise<string> {
  const image = request.body.Image ?? ''
  const pull = values.string('pull')
  if (!['always', 'missing', 'never', ''].includes(pull))
    throw new UsageError(`invalid pull option: '${pull}': must be one of "always", "missing" or "never"`)
  const parsed = parseAnyReference(image)
  const named = 'id' in parsed ? undefined : withDefaultTag(parsed.reference)
  const cidfile = values.string('cidfile')
  if (cidfile !== '' && fs.existsSync(cidfile))
    throw new UsageError(`container ID file found, make sure the other container isn't running or delete ${cidfile}`)

  const platform = values.string('platform')
  const query = { name: values.string('name') || undefined, platform: platform || undefined }
  const fetch = async () => {
    if (named) await pullImage(engine, { reference: named, platform, quiet: values.bool('quiet'), output: process.stderr })
  }
  if (pull === 'always') await fetch()
  const create = () => engine.post<ContainerCreateResponse>('/containers/create', query, request.body)
  let created: ContainerCreateResponse
  try {
    created = await create()
  } catch (error) {
    const missing = error instanceof EngineError && error.status === 404 && named !== undefined && (pull === 'missing' || pull === '')
    if (!missing) throw error
    if (!values.bool('quiet')) process.stderr.write(`Unable to find image '${familiarString(named)}' locally\n`)
    await fetch()
    created = await create()
  }
  for (const warning of created.Warnings ?? []) process.stderr.write(`WARNING: ${warning}\n`)
  const id = created.Id ?? ''
  if (cidfile !== '') fs.writeFileSync(cidfile, id, { mode: 0o644 })
  return id
}
