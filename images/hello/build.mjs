// Builds the embedded image `hello` as an OCI layout in one tar: dist/images/hello.tar. Equal sources give equal bytes.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { create } from 'tar'

const here = path.dirname(new URL(import.meta.url).pathname)
const target = path.resolve(here, '../../dist/images/hello.tar')
const sources = [path.join(here, 'hello.c'), path.join(here, 'build.mjs')]
const epoch = new Date('2025-01-01T00:00:00Z')
const architecture = { x64: 'amd64', arm64: 'arm64', ia32: '386', ppc64: 'ppc64le' }[process.arch] ?? process.arch

const newest = Math.max(...sources.map((file) => fs.statSync(file).mtimeMs))
if (fs.existsSync(target) && fs.statSync(target).mtimeMs > newest) process.exit(0)

/** musl's binaries are small; glibc's run as well. */
function compile(output) {
  const compilers = [
    ['musl-gcc', '-static'],
    [process.env.CC ?? 'cc', '-static'],
  ]
  for (const [compiler, ...flags] of compilers) {
    try {
      execFileSync(compiler, [...flags, '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-o', output, path.join(here, 'hello.c')], {
        stdio: 'inherit',
      })
      return
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
  }
  throw new Error('no C compiler found: install musl-tools or gcc')
}

async function archive(file, cwd, entries) {
  await create({ file, cwd, portable: true, noPax: true, mtime: epoch }, entries)
}

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-hello-'))
try {
  const layout = path.join(work, 'layout')
  const blobs = path.join(layout, 'blobs/sha256')
  fs.mkdirSync(blobs, { recursive: true })

  const blob = (mediaType, data) => {
    const hex = createHash('sha256').update(data).digest('hex')
    fs.writeFileSync(path.join(blobs, hex), data)
    return { mediaType, digest: `sha256:${hex}`, size: data.length }
  }
  const json = (value) => Buffer.from(JSON.stringify(value))

  const root = path.join(work, 'root')
  fs.mkdirSync(root)
  compile(path.join(root, 'hello'))
  fs.chmodSync(path.join(root, 'hello'), 0o755)
  await archive(path.join(work, 'layer.tar'), root, ['hello'])
  const layer = blob('application/vnd.oci.image.layer.v1.tar', fs.readFileSync(path.join(work, 'layer.tar')))
  const created = epoch.toISOString()
  const config = blob(
    'application/vnd.oci.image.config.v1+json',
    json({
      created,
      architecture,
      os: 'linux',
      config: { Env: ['PATH=/'], Cmd: ['/hello'], WorkingDir: '/' },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [{ created, created_by: 'images/hello/build.mjs', comment: 'The embedded image of tsd' }],
    }),
  )
  const manifestType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = blob(manifestType, json({ schemaVersion: 2, mediaType: manifestType, config, layers: [layer] }))
  const annotations = { 'io.containerd.image.name': 'docker.io/library/hello:latest', 'org.opencontainers.image.ref.name': 'latest' }
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...manifest, platform: { architecture, os: 'linux' }, annotations }],
  }
  fs.writeFileSync(path.join(layout, 'index.json'), json(index))
  fs.writeFileSync(path.join(layout, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
  fs.mkdirSync(path.dirname(target), { recursive: true })
  await archive(`${target}.new`, layout, [
    'oci-layout',
    'index.json',
    ...fs
      .readdirSync(blobs)
      .sort()
      .map((name) => `blobs/sha256/${name}`),
  ])
  fs.renameSync(`${target}.new`, target)
} finally {
  fs.rmSync(work, { recursive: true, force: true })
}
