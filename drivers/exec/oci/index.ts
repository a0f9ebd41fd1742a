import fs from 'node:fs/promises'
import { defineDriver, invalidParameter, type DriverContext, type ProbeResult } from 'tsd-engine/sdk'
import { OciExec } from './driver.js'

const places = ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin']

async function executable(file: string): Promise<boolean> {
  return fs.access(file, fs.constants.X_OK).then(
    () => true,
    () => false,
  )
}

async function find(name: string, ctx: DriverContext): Promise<string | undefined> {
  const configured = ctx.options.path
  if (typeof configured === 'string') return configured
  for (const place of places) if (await executable(`${place}/${name}`)) return `${place}/${name}`
  return undefined
}

async function probe(name: string, ctx: DriverContext): Promise<ProbeResult> {
  const file = await find(name, ctx)
  if (file === undefined)
    return {
      ok: false,
      reason: name === 'oci' ? 'no runtime is configured: set its path' : `${name} was not found in ${places.join(', ')}`,
    }
  return (await executable(file)) ? { ok: true } : { ok: false, reason: `${file} does not exist or is not executable` }
}

const define = (name: string) =>
  defineDriver({
    kind: 'exec',
    name,
    probe: (ctx) => probe(name, ctx),
    async create(ctx) {
      const file = await find(name, ctx)
      if (file === undefined)
        throw invalidParameter(`OCI runtime ${name}: no path is configured and none was found in ${places.join(', ')}`)
      return new OciExec(ctx, { path: file, args: (ctx.options.args as string[] | undefined) ?? [] })
    },
  })

export default [define('oci'), define('runc'), define('crun')]
