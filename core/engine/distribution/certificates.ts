import fs from 'node:fs/promises'
import path from 'node:path'
import tls from 'node:tls'
import { invalidParameter } from '../../sdk/errors.js'

export interface Certificates {
  ca: string[]
  cert: string[]
  key: string[]
}

const maxFile = 1024 * 1024
const bundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem', '/etc/ssl/cert.pem']
let system: Promise<string[]> | undefined

/** The machine's own list of authorities, as other programs on it use; Node's where it has none. */
export function systemAuthorities(): Promise<string[]> {
  system ??= (async () => {
    for (const file of bundles) {
      const text = await fs.readFile(file, 'utf8').catch(() => '')
      if (text.includes('BEGIN CERTIFICATE')) return [text]
    }
    return [...tls.rootCertificates]
  })()
  return system
}

/** What lies in `DIR/HOST[:PORT]`: authorities in *.crt, client certificates in *.cert, each with its *.key. */
export class CertificateDirectory {
  constructor(private readonly dir: string) {}

  private async names(host: string): Promise<string[]> {
    try {
      return (await fs.readdir(path.join(this.dir, host))).sort()
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return []
      throw error
    }
  }

  async has(host: string): Promise<boolean> {
    return (await this.names(host)).some((name) => /\.(crt|cert)$/.test(name))
  }

  async read(host: string): Promise<Certificates> {
    const found: Certificates = { ca: [], cert: [], key: [] }
    const names = await this.names(host)
    for (const name of names) {
      if (name.endsWith('.crt')) found.ca.push(await this.text(host, name))
      else if (name.endsWith('.cert')) {
        const key = name.replace(/cert$/, 'key')
        if (!names.includes(key)) {
          throw invalidParameter(
            `missing key ${key} for client certificate ${name} in ${path.join(this.dir, host)}: authorities have names that end in .crt`,
          )
        }
        found.cert.push(await this.text(host, name))
        found.key.push(await this.text(host, key))
      } else if (name.endsWith('.key') && !names.includes(name.replace(/key$/, 'cert'))) {
        throw invalidParameter(`missing client certificate ${name.replace(/key$/, 'cert')} for key ${name} in ${path.join(this.dir, host)}`)
      }
    }
    return found
  }

  private async text(host: string, name: string): Promise<string> {
    const file = path.join(this.dir, host, name)
    const { size } = await fs.stat(file)
    if (size > maxFile) throw invalidParameter(`${file} has ${size} bytes: certificates and keys have at most ${maxFile}`)
    return fs.readFile(file, 'utf8')
  }
}
