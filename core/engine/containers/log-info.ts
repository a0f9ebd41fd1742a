import type { LogInfo } from '../../sdk/kinds/log.js'
import { containerDir, type ContainersContext } from './context.js'
import type { ContainerRecord } from './record.js'

/** Path and arguments as inspect shows them. */
export function commandOf({ config }: ContainerRecord): { path: string; args: string[] } {
  const [path = '', ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])]
  return { path, args }
}

export function logInfoOf(ctx: ContainersContext, record: ContainerRecord): LogInfo {
  const { path, args } = commandOf(record)
  return {
    config: record.logConfig.Config,
    containerId: record.id,
    containerName: record.name,
    containerEntrypoint: path,
    containerArgs: args,
    containerImageId: record.imageId,
    containerImageName: record.image,
    containerCreated: record.created,
    containerEnv: record.config.Env ?? [],
    containerLabels: record.config.Labels ?? {},
    logDir: containerDir(ctx, record.id),
    daemonName: 'tsd',
  }
}
