import { inject, injectable } from 'tsyringe'
import { familiarName, parseReference, withDefaultTag } from '../../base/reference.js'
import { Distribution } from '../distribution/index.js'
import type { RegistryCredentials } from '../distribution/index.js'
import type { ProgressMessage } from '../images/index.js'
import type { BaseImages } from './contract.js'

const anonymous: RegistryCredentials = { username: '', password: '', identityToken: '', registryToken: '', serverAddress: '' }

/** What a client gave for a registry, under any of the names that clients have for it. */
function credentialsFor(domain: string, given: ReadonlyMap<string, RegistryCredentials>): RegistryCredentials {
  const names =
    domain === 'docker.io'
      ? ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io']
      : [domain, `https://${domain}`, `http://${domain}`]
  const name = names.find((one) => given.has(one))
  return (name === undefined ? undefined : given.get(name)) ?? anonymous
}

/** Base images from registries. */
@injectable()
export class PulledBaseImages implements BaseImages {
  constructor(@inject(Distribution) private readonly distribution: Distribution) {}

  async pull(
    name: string,
    { platform, credentials: given }: { platform: string; credentials: ReadonlyMap<string, RegistryCredentials> },
    tell: (message: ProgressMessage) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const reference = withDefaultTag(parseReference(name))
    const credentials = credentialsFor(reference.domain, given)
    const tag = reference.digest ?? reference.tag ?? 'latest'
    const messages = this.distribution.pull({ image: familiarName(reference), tag, platform, credentials, signal })
    for await (const message of messages) await tell(message)
  }
}
