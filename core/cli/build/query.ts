import type { Query } from '../engine.js'
import { parseBinarySize } from '../../base/sizes.js'
import { environmentOf, labelsOf } from '../container/environment.js'
import { parseUlimit } from '../container/resources.js'
import { UsageError } from '../status.js'
import type { Values } from '../flags.js'

const size = (text: string): number | undefined => (text === '' ? undefined : text === '-1' ? -1 : parseBinarySize(text))

/** A name alone takes its value from here, and is null when it has none. */
function buildArguments(given: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(
    environmentOf([], given).map((entry) => {
      const equals = entry.indexOf('=')
      return equals < 0 ? [entry, null] : [entry.slice(0, equals), entry.slice(equals + 1)]
    }),
  )
}

/** `host:ip` and `host=ip`, as the API has it. */
const extraHost = (text: string): string => text.replace(/^([^:=]+)=/, '$1:')

/** Parameters of POST /build. */
export function buildQuery(values: Values, dockerfile: string): Query {
  const number = (name: string): number | undefined => (values.has(name) ? values.int(name) : undefined)
  const text = (name: string): string | undefined => values.string(name) || undefined
  const json = (value: readonly unknown[] | Record<string, unknown>): string | undefined =>
    Object.keys(value).length === 0 ? undefined : JSON.stringify(value)
  return {
    version: '1',
    dockerfile,
    t: values.list('tag'),
    q: values.bool('quiet') || undefined,
    nocache: values.bool('no-cache') || undefined,
    pull: values.bool('pull') || undefined,
    rm: values.bool('rm'),
    forcerm: values.bool('force-rm') || undefined,
    buildargs: json(buildArguments(values.list('build-arg'))),
    labels: json(labelsOf([], values.list('label'))),
    cachefrom: json(values.list('cache-from')),
    target: text('target'),
    platform: text('platform'),
    networkmode: text('network'),
    memory: size(values.string('memory')),
    memswap: size(values.string('memory-swap')),
    shmsize: size(values.string('shm-size')),
    cpushares: number('cpu-shares'),
    cpuperiod: number('cpu-period'),
    cpuquota: number('cpu-quota'),
    cpusetcpus: text('cpuset-cpus'),
    cpusetmems: text('cpuset-mems'),
    cgroupparent: text('cgroup-parent'),
    extrahosts: values.list('add-host').map(extraHost),
    ulimits: json(values.list('ulimit').map(parseUlimit)),
    securityopt: values.list('security-opt'),
  }
}

/** Where `--secret id=x,src=FILE` or `,env=NAME` takes it from. */
export function parseSecret(spec: string): { id: string; file?: string; variable?: string } {
  const fields = new Map(
    spec.split(',').map((part) => {
      const equals = part.indexOf('=')
      if (equals < 0) throw new UsageError(`invalid field '${part}' must be a key=value pair in --secret ${spec}`)
      return [part.slice(0, equals), part.slice(equals + 1)] as const
    }),
  )
  const unknown = [...fields.keys()].find((key) => !['id', 'type', 'src', 'source', 'env'].includes(key))
  if (unknown !== undefined) throw new UsageError(`unexpected key '${unknown}' in --secret ${spec}`)
  const [id, file, variable] = [fields.get('id'), fields.get('src') ?? fields.get('source'), fields.get('env')]
  if (id === undefined || id === '') throw new UsageError(`--secret ${spec} needs an id`)
  if (file !== undefined) return { id, file }
  return { id, variable: variable ?? id }
}
