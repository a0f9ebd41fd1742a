import type { ApiMiddleware, ApiOptions, ApiServices } from './services.js'
import { dispatch } from './dispatch.js'
import { errors } from './middleware/errors.js'
import { identity } from './middleware/identity.js'
import { notBuilt } from './middleware/not-built.js'
import { version } from './middleware/version.js'

/** What every request passes, in this order. Checks that may refuse a request (authorization) belong between version and routes. */
export const chain = (services: ApiServices, options: ApiOptions): ApiMiddleware[] => [
  identity(options.version ?? 'dev'),
  errors(services.logger),
  version,
  dispatch(services),
  notBuilt,
]
