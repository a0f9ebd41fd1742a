import type { DistributionInspect } from '../../schema/engine-api.js'
import type { ProgressMessage } from '../images/index.js'
import type { RegistryCredentials } from './credentials.js'

export interface PullOptions {
  /** As users write it. */
  image: string
  /** A tag or a digest; goes before that of `image`. Neither of both: every tag. */
  tag: string
  /** `os/arch[/variant]`; empty: this machine's. */
  platform: string
  credentials: RegistryCredentials
  signal: AbortSignal
}

export interface PushOptions {
  image: string
  /** Empty: every tag of the repository. */
  tag: string
  credentials: RegistryCredentials
  signal: AbortSignal
}

/** Images from and to registries. */
export interface Distribution {
  /** A failure before anything is known of the image is thrown before the first message. */
  pull(options: PullOptions): AsyncIterable<ProgressMessage>
  push(options: PushOptions): AsyncIterable<ProgressMessage>
  /** Answers an identity token, or an empty string where the registry has none. Unauthorized when it says no. */
  login(credentials: RegistryCredentials, signal: AbortSignal): Promise<string>
  /** What a registry has under a name. */
  inspect(image: string, credentials: RegistryCredentials, signal: AbortSignal): Promise<DistributionInspect>
}
export const Distribution = Symbol.for('tsd.Distribution')
