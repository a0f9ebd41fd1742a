import { isDigest } from '../../base/digest.js'
import { notImplemented } from '../../sdk/errors.js'
import type { Descriptor } from '../images/index.js'
import { printable, RegistryFault } from './faults.js'
import { parseObject, type Json } from './hostile-json.js'
import type { Platform } from './platform.js'

export const maxManifestBytes = 4 * 1024 * 1024
const maxLayers = 127
const maxEntries = 1000

const indexTypes = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json']
const imageTypes = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json']
const schema1Types = ['application/vnd.docker.distribution.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v1+prettyjws']
const configTypes = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json']
const layerType =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?)$/

export const acceptedManifests = [...imageTypes, ...indexTypes]

export interface ImageManifest {
  kind: 'image'
  mediaType: string
  config: Descriptor
  layers: Descriptor[]
}

export interface ImageIndex {
  kind: 'index'
  mediaType: string
  manifests: (Descriptor & { platform: Platform | undefined })[]
}

function descriptor(value: unknown, at: string): Descriptor & { json: Json } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RegistryFault(`invalid manifest: ${at} must be an object`)
  const json = value as Json
  const { mediaType = '', digest, size } = json
  if (typeof mediaType !== 'string') throw new RegistryFault(`invalid manifest: ${at}.mediaType must be a string`)
  if (typeof digest !== 'string' || !isDigest(digest)) throw new RegistryFault(`invalid manifest: ${at}.digest is no digest`)
  if (!digest.startsWith('sha256:'))
    throw new RegistryFault(`invalid manifest: ${at}.digest is not of sha256, which is all that is kept here`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw new RegistryFault(`invalid manifest: ${at}.size must be a whole number of bytes`)
  return { mediaType, digest, size, json }
}

function list(value: unknown, at: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw new RegistryFault(`invalid manifest: ${at} must be an array`)
  if (value.length > most) throw new RegistryFault(`invalid manifest: ${at} has ${value.length} entries, at most ${most} are taken`)
  return value as unknown[]
}

function platformOf(json: Json): Platform | undefined {
  const value = json['platform']
  if (typeof value !== 'object' || value === null) return undefined
  const text = (key: string): string => {
    const one = (value as Json)[key] ?? ''
    if (typeof one !== 'string') throw new RegistryFault(`invalid manifest: platform.${key} must be a string`)
    return one
  }
  return { os: text('os'), architecture: text('architecture'), variant: text('variant') }
}

/** Reads a manifest by the type that the registry gave it; the document must not contradict that. */
export function parseManifest(bytes: Buffer, contentType: string): ImageManifest | ImageIndex {
  const json = parseObject(bytes, 'manifest')
  const inside = json['mediaType'] ?? ''
  if (typeof inside !== 'string') throw new RegistryFault('invalid manifest: mediaType must be a string')
  if (schema1Types.includes(contentType) || json['schemaVersion'] === 1) {
    throw notImplemented(
      'images in Docker manifest version 2, schema 1 are not supported: they have been out of use since 2017; push the image again with a current client',
    )
  }
  const known = [...indexTypes, ...imageTypes]
  const mediaType = known.includes(contentType) ? contentType : inside
  if (inside !== '' && inside !== mediaType)
    throw new RegistryFault(`invalid manifest: the registry calls it ${mediaType}, it calls itself ${printable(inside)}`)
  if (json['manifests'] !== undefined && (json['layers'] !== undefined || json['config'] !== undefined))
    throw new RegistryFault('invalid manifest: it is both an image and an index')
  if (indexTypes.includes(mediaType)) {
    const manifests = list(json['manifests'], 'manifests', maxEntries).map((one, index) => {
      const { json: entry, ...rest } = descriptor(one, `manifests[${index}]`)
      return { ...rest, platform: platformOf(entry) }
    })
    return { kind: 'index', mediaType, manifests }
  }
  if (!imageTypes.includes(mediaType))
    throw new RegistryFault(
      `mediaType in manifest should be one of ${known.join(', ')}, not ${JSON.stringify(printable(mediaType || contentType))}`,
    )
  return imageManifest(json, mediaType)
}

function imageManifest(json: Json, mediaType: string): ImageManifest {
  const { json: _config, ...config } = descriptor(json['config'], 'config')
  if (!configTypes.includes(config.mediaType))
    throw new RegistryFault(`Encountered remote ${JSON.stringify(printable(config.mediaType))} when fetching: it is no container image`)
  const layers = list(json['layers'], 'layers', maxLayers).map((one, index) => {
    const { json: layer, ...rest } = descriptor(one, `layers[${index}]`)
    const { urls } = layer
    if (Array.isArray(urls) && urls.length > 0)
      throw notImplemented(`layer ${rest.digest} lies outside of the registry (a foreign layer with urls): such images are not supported`)
    if (!layerType.test(rest.mediaType))
      throw new RegistryFault(`layer ${rest.digest} has the unknown media type ${JSON.stringify(printable(rest.mediaType))}`)
    return rest
  })
  return { kind: 'image', mediaType, config, layers }
}
