import type { Variables } from './dockerfile/words.js'

/** Known without an ARG, and never part of what the cache compares. */
const proxies = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY']
export const predefined: ReadonlySet<string> = new Set([...proxies, ...proxies.map((name) => name.toLowerCase())])

/** Values that `ARG name` takes when neither the Dockerfile nor the client gives one. */
export function platformArguments(os: string, architecture: string): Map<string, string> {
  const platform = `${os}/${architecture}`
  return new Map(
    ['TARGET', 'BUILD'].flatMap((side): [string, string][] => [
      [`${side}PLATFORM`, platform],
      [`${side}OS`, os],
      [`${side}ARCH`, architecture],
      [`${side}VARIANT`, ''],
    ]),
  )
}

/** Build arguments of one build: what the client gave, and who asked for it. */
export class BuildArguments {
  private readonly given: ReadonlyMap<string, string | null>
  private readonly platform: ReadonlyMap<string, string>
  private readonly asked = new Set<string>()
  readonly global = new Map<string, string>()

  constructor(given: Record<string, string | null>, platform: ReadonlyMap<string, string>) {
    this.given = new Map(Object.entries(given))
    this.platform = platform
  }

  declareGlobal(name: string, fallback: string | undefined): void {
    this.asked.add(name)
    const value = this.given.get(name) ?? fallback ?? this.platform.get(name)
    if (value !== undefined) this.global.set(name, value)
  }

  /** What FROM sees. */
  get beforeStages(): Variables {
    return new Map([...this.platform, ...this.global])
  }

  stage(): StageArguments {
    return new StageArguments((name, fallback) => {
      this.asked.add(name)
      return this.given.get(name) ?? fallback ?? this.global.get(name) ?? this.platform.get(name)
    }, this.proxies())
  }

  private proxies(): Map<string, string> {
    const found = new Map<string, string>()
    for (const [name, value] of this.given) if (predefined.has(name) && value !== null) found.set(name, value)
    return found
  }

  /** Given, and never asked for. */
  unused(): string[] {
    return [...this.given.keys()].filter((name) => !this.asked.has(name) && !predefined.has(name)).sort()
  }
}

/** Those that one stage declared so far. */
export class StageArguments {
  readonly declared = new Map<string, string>()
  private readonly value: (name: string, fallback: string | undefined) => string | undefined
  private readonly proxies: ReadonlyMap<string, string>

  constructor(value: (name: string, fallback: string | undefined) => string | undefined, proxies: ReadonlyMap<string, string>) {
    this.value = value
    this.proxies = proxies
  }

  declare(name: string, fallback: string | undefined): void {
    const value = this.value(name, fallback)
    if (value !== undefined) this.declared.set(name, value)
    else this.declared.delete(name)
  }

  /** What an instruction sees: the image's environment goes before arguments. */
  variables(env: readonly string[]): Variables {
    return new Map([...this.declared, ...env.map(split)])
  }

  /** `name=value` for a RUN, and those of them that its cache entry depends on. */
  environment(env: readonly string[]): { all: string[]; compared: string[] } {
    const taken = new Set(env.map((entry) => split(entry)[0]))
    const pairs = (from: ReadonlyMap<string, string>): string[] =>
      [...from]
        .filter(([name]) => !taken.has(name))
        .map(([name, value]) => `${name}=${value}`)
        .sort()
    const compared = pairs(this.declared)
    return { all: [...pairs(new Map([...this.proxies, ...this.declared]))], compared }
  }
}

function split(entry: string): [string, string] {
  const equals = entry.indexOf('=')
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)]
}
