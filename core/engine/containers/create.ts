import { mkdir, rm } from 'node:fs/promises'
import os from 'node:os'
import { randomId } from '../../base/ids.js'
import type { ContainerCreateBody, EndpointSettings, HostConfig } from '../../schema/engine-api.js'
import { conflict, invalidParameter, isTsdError, notFound, notImplemented } from '../../sdk/errors.js'
import { Container } from './container.js'
import { containerDir, publish, type ContainersContext } from './context.js'
import { populateVolumes } from './copy-up.js'
import { collectMountPoints } from './mount-points.js'
import { exposedPorts, publishedPorts } from './ports.js'
import { randomName } from './random-name.js'
import { initialState, type ContainerRecord, type MountPointRecord } from './record.js'
import { checkBindSources } from './resolve-mounts.js'
import { refuseUnsupported } from './spec/fields.js'
import { mergeImageConfig } from './spec/merge.js'
import { validateContainer } from './spec/validate.js'

const predefinedModes = new Set(['host', 'none', 'bridge'])

function normaliseNetworkMode(hostConfig: HostConfig): string {
  const mode = hostConfig.NetworkMode ?? ''
  return mode === '' || mode === 'default' ? 'bridge' : mode
}

/** A link is a name that one container alone has for another; on the default network it would need hosts lines and variables of the other. */
function checkLinks(mode: string, links: string[], endpoints: Record<string, EndpointSettings>): void {
  const all = [...links, ...Object.values(endpoints).flatMap((settings) => settings.Links ?? [])]
  const bad = all.find((link) => !/^\/?[^:/\s]+(:[^:\s]+)?$/.test(link))
  if (bad !== undefined) throw invalidParameter(`bad format for links: ${bad}`)
  const legacy = (mode === 'bridge' && links.length > 0) || (endpoints['bridge']?.Links?.length ?? 0) > 0
  if (legacy)
    throw notImplemented('HostConfig.Links is not supported on the default network: put the containers on one user-defined network')
}

/** The networks to join at start, by name: NetworkMode first, then what EndpointsConfig adds. */
function wantedNetworks(body: ContainerCreateBody, mode: string): Record<string, EndpointSettings> {
  const endpoints: Record<string, EndpointSettings> = {}
  for (const [name, settings] of Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {}))
    endpoints[name === 'default' ? 'bridge' : name] = settings ?? {}
  if (mode.startsWith('container:')) {
    if (Object.keys(endpoints).length > 0)
      throw conflict('conflicting options: cannot attach both user-defined and container network mode networks')
    return {}
  }
  if (body.NetworkDisabled) return {}
  const main = endpoints[mode] ?? {}
  if (body.MacAddress && !main.MacAddress) main.MacAddress = body.MacAddress
  const { [mode]: _, ...others } = endpoints
  if ((mode === 'host' || mode === 'none') && Object.keys(others).length > 0)
    throw conflict(`conflicting options: cannot attach both user-defined and non-user-defined network-modes`)
  // Where older clients put them.
  if (!predefinedModes.has(mode) && !main.Links?.length && body.HostConfig?.Links?.length) main.Links = body.HostConfig.Links
  checkLinks(mode, body.HostConfig?.Links ?? [], endpoints)
  const hasAddress = main.IPAMConfig?.IPv4Address || main.IPAMConfig?.IPv6Address
  if (predefinedModes.has(mode) && hasAddress)
    throw invalidParameter('user specified IP address is supported on user defined networks only')
  if (predefinedModes.has(mode) && main.Aliases?.length)
    throw invalidParameter('network-scoped aliases are only supported for user-defined networks')
  return { [mode]: main, ...others }
}

/** The docker CLI takes a 404 of a create for a missing image, and pulls it. */
function notTheImage(error: unknown): never {
  throw isTsdError(error) && error.category === 'NotFound' ? invalidParameter(error.message, { cause: error }) : error
}

/** A network that is not there is told of at start, as Docker does: it may be made until then. */
async function networkName(ctx: ContainersContext, reference: string): Promise<string> {
  try {
    return (await ctx.networks.resolve(reference)).name
  } catch (error) {
    if (isTsdError(error) && error.category === 'NotFound') return reference
    throw error
  }
}

async function ensureVolumes(ctx: ContainersContext, mounts: MountPointRecord[], id: string): Promise<void> {
  for (const point of mounts) {
    if (point.type !== 'volume') continue
    const { name, driver, volumeLabels: labels = {}, volumeOptions: driverOpts = {} } = point
    const volume = await ctx.volumes.create({ name, driver, labels, driverOpts }).catch(notTheImage)
    point.name = volume.Name ?? point.name
    point.driver = volume.Driver ?? point.driver
    point.source = volume.Mountpoint ?? ''
    ctx.volumes.reference(point.name, id)
  }
}

function hostnameFor(id: string, config: ContainerCreateBody, hostConfig: HostConfig, mode: string): string {
  if (config.Hostname) return config.Hostname
  return hostConfig.UTSMode === 'host' || mode === 'host' ? os.hostname() : id.slice(0, 12)
}

/** Checks everything that can be checked before a start, then makes record, layer and volumes. */
export async function createContainer(
  ctx: ContainersContext,
  wantedName: string | undefined,
  body: ContainerCreateBody,
  platform: string | undefined,
): Promise<{ container: Container; warnings: string[] }> {
  refuseUnsupported(body)
  if (!body.Image) throw invalidParameter('no image was given: set Image')
  const image = await ctx.images.resolve(body.Image)
  if (platform && platform !== `${image.os}/${image.architecture}` && platform !== image.os)
    throw notFound(`image with reference ${body.Image} was found but does not provide the specified platform (${platform})`)

  const { HostConfig: userHostConfig, NetworkingConfig: _networking, ...userConfig } = body
  const config = mergeImageConfig(userConfig, image.config)
  const hostConfig: HostConfig = { ...userHostConfig }
  const mode = normaliseNetworkMode(hostConfig)
  hostConfig.NetworkMode = mode
  publishedPorts(config, hostConfig)
  exposedPorts(config, hostConfig)
  if (mode.startsWith('container:') && (Object.keys(hostConfig.PortBindings ?? {}).length > 0 || hostConfig.PublishAllPorts))
    throw invalidParameter('conflicting options: port publishing and the container type network mode')
  const warnings = validateContainer(config, hostConfig, ctx.facts)
  // Not a 404: clients would take that for a missing image.
  const peer = mode.startsWith('container:') ? mode.slice('container:'.length) : undefined
  if (peer !== undefined && !ctx.registry.find(peer))
    throw invalidParameter(`joining network namespace of container: No such container: ${peer}`)
  const networks: Record<string, EndpointSettings> = {}
  for (const [reference, settings] of Object.entries(wantedNetworks(body, mode))) networks[await networkName(ctx, reference)] = settings

  const runtime = hostConfig.Runtime || ctx.config.defaultRuntime
  const runtimes = await ctx.drivers.names('exec')
  if (!runtimes.includes(runtime)) throw invalidParameter(`unknown or invalid runtime name: ${runtime}: known are ${runtimes.join(', ')}`)
  hostConfig.Runtime = runtime
  const logConfig = await ctx.logs.validate(hostConfig.LogConfig)

  const id = randomId()
  const name = wantedName?.replace(/^\//, '') || randomName((n) => ctx.registry.has(n))
  const mounts = collectMountPoints({
    hostConfig,
    volumes: Object.keys(config.Volumes ?? {}),
    mountsOf: (reference) => {
      const source = ctx.registry.find(reference)
      // As above: no 404 but for the image.
      if (!source) throw invalidParameter(`No such container: ${reference}`)
      return source.record.mounts
    },
  })
  await checkBindSources(mounts)
  config.Hostname = hostnameFor(id, config, hostConfig, mode)
  config.Image = body.Image
  const record: ContainerRecord = {
    version: 1,
    id,
    name,
    created: ctx.clock.timestamp(),
    image: body.Image,
    imageId: image.id,
    topLayer: image.topLayer,
    graphDriver: ctx.drivers.defaultName('graph'),
    runtime,
    config,
    hostConfig,
    networks,
    mounts,
    logConfig,
    state: initialState(),
    restartCount: 0,
    manuallyStopped: false,
    hasBeenStarted: false,
    starts: 0,
  }
  const container = new Container(record)
  ctx.registry.reserve(name, id)
  try {
    await ensureVolumes(ctx, mounts, id)
    // The record is the intent for the layer as well: making a layer is idempotent and repeated at start.
    await ctx.registry.save(container, { sync: true })
    await Promise.all([
      mkdir(containerDir(ctx, id), { recursive: true, mode: 0o710 }),
      ctx.layers.createContainerLayer(id, image.topLayer, hostConfig.StorageOpt ?? {}),
    ])
    await populateVolumes(ctx, container)
  } catch (error) {
    await undoCreate(ctx, container)
    throw error
  }
  ctx.registry.add(container)
  publish(ctx, container, 'create')
  return { container, warnings }
}

async function undoCreate(ctx: ContainersContext, container: Container): Promise<void> {
  const { record } = container
  for (const point of record.mounts) {
    if (point.type !== 'volume' || point.name === '') continue
    ctx.volumes.unreference(point.name, record.id)
    if (point.anonymous && ctx.volumes.usedBy(point.name).length === 0)
      await ctx.volumes.remove(point.name, { force: true }).catch(() => undefined)
  }
  await ctx.layers
    .removeContainerLayer(record.id)
    .catch((error: unknown) => ctx.logger.warn('layer of a failed create remains', { id: record.id, error }))
  await rm(containerDir(ctx, record.id), { recursive: true, force: true }).catch(() => undefined)
  await ctx.registry.delete(container)
}
