import type { ContainerConfig } from '../../schema/engine-api.js'
import type { ImageRuntimeConfig } from '../images/index.js'
import type { Container } from './container.js'
import { publish, type ContainersContext } from './context.js'
import type { CommitOptions } from './contract.js'
import { mergeImageConfig } from './spec/merge.js'
import { pauseContainer, unpauseContainer } from './stop.js'

/** What an image keeps of a container's configuration. */
function imageConfig(config: ContainerConfig): ImageRuntimeConfig {
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = config.Healthcheck ?? {}
  const health = Object.entries({ Test, Interval, Timeout, StartPeriod, StartInterval, Retries }).filter(([, value]) => value !== undefined)
  const set = (value: Record<string, unknown> | null | undefined): Record<string, Record<string, never>> =>
    Object.fromEntries(Object.keys(value ?? {}).map((key) => [key, {}]))
  return {
    User: config.User ?? '',
    ExposedPorts: set(config.ExposedPorts),
    Env: [...(config.Env ?? [])],
    Entrypoint: config.Entrypoint ?? null,
    Cmd: config.Cmd ?? null,
    Volumes: set(config.Volumes),
    WorkingDir: config.WorkingDir ?? '',
    Labels: { ...config.Labels },
    StopSignal: config.StopSignal ?? '',
    Shell: config.Shell ?? null,
    Healthcheck: health.length === 0 ? null : (Object.fromEntries(health) as ImageRuntimeConfig['Healthcheck']),
    ArgsEscaped: config.ArgsEscaped === true,
    ...(config.OnBuild ? { OnBuild: [...config.OnBuild] } : {}),
  }
}

/** Called with the container's lock held: what is paused for it goes on only when its files have been read. */
export async function commitContainer(ctx: ContainersContext, container: Container, options: CommitOptions): Promise<{ Id: string }> {
  const { record } = container
  const own = imageConfig(record.config)
  const config = options.config ? imageConfig(mergeImageConfig(options.config, own)) : own
  const paused = options.pause && record.state.status === 'running'
  // A daemon that finds this thaws what its predecessor froze.
  const frozen = [{ kind: 'frozen', key: record.id }]
  if (paused) ctx.ledger.intend(record.id, frozen)
  try {
    if (paused) await pauseContainer(ctx, container)
    const { repo, tag, author, comment, instructions, signal } = options
    const changes = await ctx.layers.containerDiff(record.id)
    const createdBy = (record.config.Cmd ?? []).join(' ')
    const request = { imageId: record.imageId, changes, config, instructions, repo, tag, author, comment, createdBy, signal }
    const { id, name } = await ctx.images.commit(request)
    publish(ctx, container, 'commit', { comment, imageID: id, imageRef: name ?? '' })
    return { Id: id }
  } finally {
    if (paused && container.record.state.status === 'paused') await unpauseContainer(ctx, container)
    if (paused) ctx.ledger.released(record.id, frozen)
  }
}
