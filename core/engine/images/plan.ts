// What an image archive holds: docker save's manifest.json, or an OCI layout's index.json.
import { isDigest } from '../../base/digest.js'
import { formatReference, parseReference, withDefaultTag } from '../../base/reference.js'
import { invalidParameter } from '../../sdk/errors.js'
import type { SpooledArchive } from './archive.js'
import type { Ingested } from './content.js'

export interface PlannedImage {
  config: Ingested
  layers: Ingested[]
  /** Full references. */
  names: string[]
}

type Json = Record<string, unknown>

const bad = (what: string): never => {
  throw invalidParameter(`invalid image archive: ${what}`)
}

function object(value: unknown, what: string): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : bad(`${what} must be an object`)
}

function array(value: unknown, what: string): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : bad(`${what} must be an array`)
}

function string(value: unknown, what: string): string {
  return typeof value === 'string' ? value : bad(`${what} must be a string`)
}

/** A full reference with a tag. */
function tagged(text: string): string {
  const reference = parseReference(text)
  if (reference.digest !== undefined) bad(`${JSON.stringify(text)} is a digest, not a tag`)
  return formatReference(withDefaultTag(reference))
}

async function planDocker(archive: SpooledArchive): Promise<PlannedImage[]> {
  const manifest = array(await archive.json('manifest.json', 'docker save'), 'manifest.json')
  return manifest.map((one, index) => {
    const at = `manifest.json[${index}]`
    const { Config, RepoTags, Layers } = object(one, at)
    return {
      config: archive.file(string(Config, `${at}.Config`), at),
      layers: array(Layers ?? [], `${at}.Layers`).map((layer) => archive.file(string(layer, `${at}.Layers`), at)),
      names: array(RepoTags ?? [], `${at}.RepoTags`).map((name) => tagged(string(name, `${at}.RepoTags`))),
    }
  })
}

const indexTypes = new Set(['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'])
const manifestTypes = new Set(['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'])
const maxNesting = 4

const architectures: Record<string, string> = {
  x64: 'amd64',
  arm: 'arm',
  arm64: 'arm64',
  ia32: '386',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
}
export const hostArchitecture = architectures[process.arch] ?? process.arch

/** The file that a descriptor speaks of, digest and size checked. */
function described(archive: SpooledArchive, value: unknown, what: string): { file: Ingested; path: string; descriptor: Json } {
  const descriptor = object(value, what)
  const digest = string(descriptor['digest'], `${what}.digest`)
  if (!isDigest(digest) || !digest.startsWith('sha256:')) return bad(`${what}.digest ${JSON.stringify(digest)} is no sha256 digest`)
  const path = `blobs/sha256/${digest.slice('sha256:'.length)}`
  const file = archive.file(path, what)
  if (file.digest !== digest) bad(`the content of ${path} has digest ${file.digest}`)
  if (descriptor['size'] !== file.size) bad(`${path} has ${file.size} bytes, its descriptor says ${JSON.stringify(descriptor['size'])}`)
  return { file, path, descriptor }
}

function fitsHost(descriptor: Json): boolean {
  const platform = descriptor['platform']
  if (platform === undefined || platform === null) return true
  const { os, architecture } = object(platform, 'platform')
  return (os === undefined || os === 'linux') && (architecture === undefined || architecture === hostArchitecture)
}

function nameOf(descriptor: Json): string | undefined {
  const annotations = object(descriptor['annotations'] ?? {}, 'annotations')
  const full = annotations['io.containerd.image.name']
  if (full !== undefined) return string(full, 'annotations')
  const name = annotations['org.opencontainers.image.ref.name']
  // A bare tag names no repository.
  return typeof name === 'string' && /[/:]/.test(name) ? name : undefined
}

async function planManifest(archive: SpooledArchive, value: unknown, what: string, depth: number): Promise<Omit<PlannedImage, 'names'>> {
  if (depth > maxNesting) bad('its indexes are nested too deeply')
  const { path, descriptor } = described(archive, value, what)
  const mediaType = string(descriptor['mediaType'] ?? '', `${what}.mediaType`)
  const content = object(await archive.json(path, what), path)
  if (indexTypes.has(mediaType) || (mediaType === '' && content['manifests'] !== undefined)) {
    const manifests = array(content['manifests'] ?? [], `${path}.manifests`).map((one) => object(one, `${path}.manifests`))
    // Attestations stand beside images with the platform unknown/unknown.
    const chosen = manifests.find(fitsHost)
    if (chosen === undefined) return bad(`no image in ${path} is for linux/${hostArchitecture}`)
    return planManifest(archive, chosen, path, depth + 1)
  }
  if (mediaType !== '' && !manifestTypes.has(mediaType)) bad(`${what} has the unknown media type ${JSON.stringify(mediaType)}`)
  return {
    config: described(archive, content['config'], `${path}.config`).file,
    layers: array(content['layers'] ?? [], `${path}.layers`).map(
      (layer, index) => described(archive, layer, `${path}.layers[${index}]`).file,
    ),
  }
}

async function planOci(archive: SpooledArchive): Promise<PlannedImage[]> {
  const index = object(await archive.json('index.json', 'an OCI layout'), 'index.json')
  const manifests = array(index['manifests'] ?? [], 'index.json.manifests').map((one) => object(one, 'index.json.manifests'))
  const planned: PlannedImage[] = []
  for (const [at, descriptor] of manifests.entries()) {
    if (manifests.length > 1 && !fitsHost(descriptor)) continue
    const image = await planManifest(archive, descriptor, `index.json.manifests[${at}]`, 0)
    const name = nameOf(descriptor)
    planned.push({ ...image, names: name === undefined ? [] : [tagged(name)] })
  }
  return planned
}

export async function planArchive(archive: SpooledArchive): Promise<PlannedImage[]> {
  const planned = archive.has('manifest.json')
    ? await planDocker(archive)
    : archive.has('index.json')
      ? await planOci(archive)
      : bad('it has neither manifest.json (docker save) nor index.json (OCI layout)')
  return planned.length === 0 ? bad('it holds no image for this host') : planned
}
