import type { ContainerCreateBody, ImageInspect, ImageSummary } from '../schema/engine-api.js'

// What an older API version means by the same words. Minor numbers: 1.41 is 41.

/** Defaults that changed over time, and fields that older daemons did not know and ignored. */
export function adaptCreate(body: ContainerCreateBody, api: number): void {
  const host = body.HostConfig
  if (host !== undefined) {
    if (api < 40) {
      host.IpcMode ||= 'shareable'
      for (const mount of host.Mounts ?? []) delete mount.BindOptions?.NonRecursive
    }
    if (api < 41) host.CgroupnsMode ??= 'host'
    if (api < 42) for (const mount of host.Mounts ?? []) delete mount.BindOptions?.CreateMountpoint
    if (api < 43) delete host.Annotations
    if (api < 45) for (const mount of host.Mounts ?? []) delete mount.VolumeOptions?.Subpath
  }
  if (api < 44) delete body.Healthcheck?.StartInterval
}

export function adaptImageList(images: ImageSummary[], api: number): unknown[] {
  if (api >= 44) return images
  return images.map((image) => {
    const dangling = (image.RepoTags ?? []).length === 0 && (image.RepoDigests ?? []).length === 0
    const names = api < 43 && dangling ? { RepoTags: ['<none>:<none>'], RepoDigests: ['<none>@<none>'] } : {}
    return { ...image, ...names, VirtualSize: image.Size ?? 0 }
  })
}

export function adaptImage(image: ImageInspect, api: number): unknown {
  return api >= 44 ? image : { ...image, VirtualSize: image.Size ?? 0 }
}
