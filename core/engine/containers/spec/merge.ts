import type { ContainerConfig } from '../../../schema/engine-api.js'
import type { ImageRuntimeConfig } from '../../images/index.js'

const nameOf = (entry: string): string => entry.split('=', 1)[0] ?? entry

/** A request may change when the image's probe runs, and leave what it runs. */
function healthcheck(
  request: ContainerConfig['Healthcheck'],
  image: ImageRuntimeConfig['Healthcheck'],
): { Healthcheck?: NonNullable<ContainerConfig['Healthcheck']> } {
  if (!request && !image) return {}
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = request ?? {}
  const merged = {
    Test: Test?.length ? Test : image?.Test,
    Interval: Interval || image?.Interval,
    Timeout: Timeout || image?.Timeout,
    StartPeriod: StartPeriod || image?.StartPeriod,
    StartInterval: StartInterval || image?.StartInterval,
    Retries: Retries || image?.Retries,
  }
  return { Healthcheck: Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined && value !== 0)) }
}

/** What a request leaves open is taken from the image, by Docker's rules. */
export function mergeImageConfig(request: ContainerConfig, image: ImageRuntimeConfig): ContainerConfig {
  const env = [...(request.Env ?? [])]
  const asked = new Set(env.map(nameOf))
  env.push(...image.Env.filter((entry) => !asked.has(nameOf(entry))))

  const ownEntrypoint = (request.Entrypoint?.length ?? 0) > 0
  const ownCommand = (request.Cmd?.length ?? 0) > 0
  // `--entrypoint ""` arrives as [""]: neither the image's entrypoint nor its command.
  const cleared = request.Entrypoint?.length === 1 && request.Entrypoint[0] === ''
  const entrypoint = cleared ? null : (request.Entrypoint ?? image.Entrypoint)
  const command = ownCommand || ownEntrypoint || cleared ? request.Cmd : image.Cmd

  return {
    ...request,
    User: request.User || image.User,
    ExposedPorts: { ...image.ExposedPorts, ...request.ExposedPorts },
    Env: env,
    Entrypoint: entrypoint ?? null,
    Cmd: command ?? null,
    Volumes: { ...image.Volumes, ...request.Volumes },
    WorkingDir: request.WorkingDir || image.WorkingDir,
    Labels: { ...image.Labels, ...request.Labels },
    StopSignal: request.StopSignal || image.StopSignal || null,
    Shell: request.Shell ?? image.Shell,
    ...healthcheck(request.Healthcheck, image.Healthcheck),
  }
}
