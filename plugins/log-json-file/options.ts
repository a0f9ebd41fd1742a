import { attributeOptions, checkAttributes, checkKnown, rotationOptions, type RotationOptions } from 'tsd-engine/sdk'

/** Checks every option, not only its name: what `docker create` accepts, `docker start` carries out. */
export function parseOptions(config: Record<string, string>): RotationOptions {
  checkKnown('json-file', ['max-size', 'max-file', 'compress', ...attributeOptions], config)
  const rotation = rotationOptions(config, '', { maxSize: 0, maxFile: 1, compress: false })
  checkAttributes(config)
  return rotation
}
