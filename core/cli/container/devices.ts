import { parseBinarySize } from '../../base/sizes.js'
import type { DeviceMapping, DeviceRequest, ThrottleDevice } from '../../schema/engine-api.js'
import { splitCommas } from '../flags.js'
import { UsageError } from '../status.js'

/** `/dev/sda:200`. */
export function parseWeight(spec: string): { Path: string; Weight: number } {
  const [path, weight] = deviceAnd(spec)
  if (!/^\d+$/.test(weight) || (Number(weight) > 0 && Number(weight) < 10) || Number(weight) > 1000)
    throw new UsageError(`invalid weight for device: ${spec}`)
  return { Path: path, Weight: Number(weight) }
}

/** `/dev/sda:1mb`, or `/dev/sda:100` operations. */
export function parseThrottle(spec: string, bytes: boolean): ThrottleDevice {
  const [path, rate] = deviceAnd(spec)
  const unit = bytes
    ? '<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb'
    : '<number>. Number must be a positive integer'
  try {
    if (!bytes && !/^\d+$/.test(rate)) throw new Error(rate)
    return { Path: path, Rate: bytes ? parseBinarySize(rate) : Number(rate) }
  } catch {
    throw new UsageError(`invalid rate for device: ${spec}. The correct format is <device-path>:${unit}`)
  }
}

function deviceAnd(spec: string): [string, string] {
  const colon = spec.indexOf(':')
  if (colon < 1 || colon === spec.length - 1) throw new UsageError(`bad format: ${spec}`)
  const path = spec.slice(0, colon)
  if (!path.startsWith('/dev/')) throw new UsageError(`bad format for device path: ${spec}`)
  return [path, spec.slice(colon + 1)]
}

const cdiName = /^[A-Za-z0-9][\w.-]*\/[A-Za-z][\w.-]*=[\w.:-]+$/

/** `--device`: host devices, and CDI names, which become a request. */
export function parseDevices(specs: readonly string[]): { devices: DeviceMapping[]; requests: DeviceRequest[] } {
  const cdi = specs.filter((spec) => cdiName.test(spec))
  const devices = specs.filter((spec) => !cdiName.test(spec)).map(parseDevice)
  const requests = cdi.length === 0 ? [] : [{ Driver: 'cdi', Count: 0, DeviceIDs: cdi, Capabilities: null, Options: null }]
  return { devices, requests }
}

function parseDevice(spec: string): DeviceMapping {
  const [source = '', second, third] = spec.split(':')
  if (spec.split(':').length > 3) throw new UsageError(`invalid device specification: ${spec}`)
  const mode = (text: string) => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length
  if (third !== undefined && !mode(third)) throw new UsageError(`bad mode specified: ${third}`)
  const onlyMode = second !== undefined && third === undefined && mode(second)
  return {
    PathOnHost: source,
    PathInContainer: second === undefined || second === '' || onlyMode ? source : second,
    CgroupPermissions: third ?? (onlyMode ? second : 'rwm'),
  }
}

/** `all`, `2`, `device=0,capabilities=utility`. */
export function parseGpus(spec: string): DeviceRequest {
  const request: Required<DeviceRequest> = { Driver: '', Count: 0, DeviceIDs: null, Capabilities: null, Options: {} }
  let capabilities: string[] = []
  const seen = new Set<string>()
  for (const field of splitCommas(spec)) {
    const equals = field.indexOf('=')
    const key = equals < 0 ? 'count' : field.slice(0, equals).trim().toLowerCase()
    const value = equals < 0 ? field : field.slice(equals + 1)
    if (seen.has(key)) throw new UsageError(`gpu request key '${key}' can be specified only once`)
    seen.add(key)
    if (key === 'driver') request.Driver = value
    else if (key === 'count') {
      if (value !== 'all' && !/^-?\d+$/.test(value))
        throw new UsageError(`invalid count (${value}): value must be either "all" or an integer`)
      request.Count = value === 'all' ? -1 : Number(value)
    } else if (key === 'device') request.DeviceIDs = value.split(',')
    else if (key === 'capabilities') capabilities = value.split(',')
    else if (key === 'options') request.Options = Object.fromEntries(splitCommas(value).map((o) => o.split('=', 2) as [string, string]))
    else throw new UsageError(`unexpected key '${key}' in '${field}'`)
  }
  if (!seen.has('count') && !request.DeviceIDs) request.Count = 1
  request.Capabilities = [capabilities.includes('gpu') ? capabilities : [...capabilities, 'gpu']]
  return request
}
