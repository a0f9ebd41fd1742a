import { familiarName, parseReference } from '../../base/reference.js'
import { notFound } from '../../sdk/errors.js'
import type { BaseImages } from './contract.js'

/** Of a daemon that has no registries: an image is here, or it is not to be had. */
export class LocalBaseImages implements BaseImages {
  pull(reference: string): Promise<void> {
    return Promise.reject(
      notFound(
        `pull access denied for ${familiarName(parseReference(reference))}, repository does not exist or may require 'docker login': ` +
          `this tsd cannot pull ${reference} yet: bring the image with docker load or docker import`,
      ),
    )
  }
}
