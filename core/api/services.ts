import type Koa from 'koa'
import type Router from '@koa/router'
import type { Builds } from '../engine/builds/index.js'
import type { Containers } from '../engine/containers/index.js'
import type { Distribution } from '../engine/distribution/index.js'
import type { Events } from '../engine/events/index.js'
import type { Execs } from '../engine/execs/index.js'
import type { Images } from '../engine/images/index.js'
import type { Networks } from '../engine/networks/index.js'
import type { Drivers } from '../engine/ports/index.js'
import type { System } from '../engine/system/index.js'
import type { Volumes } from '../engine/volumes/index.js'
import type { Logger } from '../sdk/ports.js'

/** All that the API serves. */
export interface ApiServices {
  system: System
  events: Events
  containers: Containers
  execs: Execs
  images: Images
  builds: Builds
  distribution: Distribution
  volumes: Volumes
  networks: Networks
  drivers: Drivers
  logger: Logger
  /** The boot timing tree, as `tsd daemon --timings` prints it. */
  timings?: () => unknown
}

export interface ApiOptions {
  /** Owner group of unix sockets, by name or number; empty: the daemon's own. */
  group?: string
  /** Version of tsd, for the Server header. */
  version?: string
  /** For tcp hosts. */
  tls?: TlsOptions
  /** Sockets that a service manager made, for `fd://`. */
  activated?: readonly { fd: number; family: 'unix' | 'tcp' }[]
}

export interface TlsOptions {
  cert: Buffer
  key: Buffer
  /** Present: only clients with a certificate of this authority are served. */
  ca?: Buffer
}

/** Set on every request before the routers see it. */
export interface RequestState {
  /** Minor number of the API version that the client speaks: 1.41 is 41. */
  api: number
}

export type ApiContext = Koa.ParameterizedContext<RequestState>
export type ApiMiddleware = Koa.Middleware<RequestState>
export type RouteContext = Router.RouterContext<RequestState>
export type ApiRouter = Router<RequestState>
