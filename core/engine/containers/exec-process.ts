import type { ExecConfig } from '../../schema/engine-api.js'
import type { OciProcess } from '../../sdk/oci.js'
import type { Container } from './container.js'
import type { ContainersContext } from './context.js'
import { buildExecProcess } from './spec/process.js'

/** Another process of a running container. */
export function execProcess(ctx: ContainersContext, { record }: Container, exec: ExecConfig): OciProcess {
  const { config, hostConfig } = record
  return buildExecProcess({ config, hostConfig, hostname: config.Hostname ?? '', facts: ctx.facts, daemon: ctx.config }, exec)
}
