import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { encodePlan, SECCOMP_COMPILER_VERSION, seccompCompiler, seccompFlags } from 'tsd-engine/native'
import { invalidParameter, isTsdError, messageOf, unavailable, type OciSeccomp, type Spawner } from 'tsd-engine/sdk'

export interface SeccompFilter {
  /** Name of the cached file: what state refers to. */
  key: string
  /** struct sock_filter[]. */
  filter: Buffer
  flags: number
}

const COMPILE_DEADLINE = 20_000
const MAX_IN_MEMORY = 64

/** Compiled filters, by content of the profile: in memory, then on disk, then made by a process of its own. */
export class SeccompFilters {
  readonly #byProfile = new WeakMap<OciSeccomp, SeccompFilter>()
  readonly #byKey = new Map<string, Promise<SeccompFilter>>()
  readonly #dir: string
  readonly #spawner: Spawner

  constructor(dataDir: string, spawner: Spawner) {
    this.#dir = path.join(dataDir, 'seccomp')
    this.#spawner = spawner
  }

  /** Without waiting, when the same object was asked for before. */
  ready(profile: OciSeccomp): SeccompFilter | undefined {
    return this.#byProfile.get(profile)
  }

  async get(profile: OciSeccomp): Promise<SeccompFilter> {
    const known = this.#byProfile.get(profile)
    if (known) return known
    const { flags, unknown } = seccompFlags(profile)
    if (unknown.length > 0) throw invalidParameter(`seccomp flags ${unknown.join(', ')} are not supported`)
    const json = JSON.stringify(profile)
    const key = createHash('sha256').update(`${SECCOMP_COMPILER_VERSION} ${process.arch} ${flags} ${json}`).digest('hex')
    const filter = await this.#once(key, () => this.#load(key, flags, json))
    this.#byProfile.set(profile, filter)
    return filter
  }

  /** For an exec after a restart: the filter that the container was started with. */
  byKey(key: string, flags: number): Promise<SeccompFilter> {
    return this.#once(key, async () => ({ key, flags, filter: await fs.readFile(this.#file(key)) }))
  }

  #once(key: string, make: () => Promise<SeccompFilter>): Promise<SeccompFilter> {
    let pending = this.#byKey.get(key)
    if (!pending) {
      if (this.#byKey.size >= MAX_IN_MEMORY) this.#byKey.delete(this.#byKey.keys().next().value ?? '')
      pending = make()
      pending.catch(() => this.#byKey.delete(key))
      this.#byKey.set(key, pending)
    }
    return pending
  }

  #file(key: string): string {
    return path.join(this.#dir, `${key}.bpf`)
  }

  async #load(key: string, flags: number, json: string): Promise<SeccompFilter> {
    const file = this.#file(key)
    const cached = await fs.readFile(file).catch(() => undefined)
    if (cached && cached.length > 0 && cached.length % 8 === 0) return { key, flags, filter: cached }
    const filter = await this.#compile(json)
    await fs.mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const temporary = `${file}.${process.pid}.tmp`
    await fs.writeFile(temporary, filter, { mode: 0o600, flush: true })
    await fs.rename(temporary, file)
    return { key, flags, filter }
  }

  async #compile(json: string): Promise<Buffer> {
    const plan = encodePlan({
      host: [{ op: 'run', argv: seccompCompiler(), env: ['PATH=/usr/bin:/bin'], stdio: 'capture', stdin: Buffer.from(json) }],
    })
    let output: Uint8Array
    try {
      output = (await this.#spawner.run(plan, { deadline: COMPILE_DEADLINE, name: 'compile seccomp filter' })).output
    } catch (error) {
      const message = messageOf(error)
      if (message.includes('libseccomp.so.2 is missing'))
        throw unavailable(`cannot compile the seccomp profile: ${message}`, { cause: error })
      throw isTsdError(error) && error.category === 'DeadlineExceeded'
        ? error
        : invalidParameter(`cannot compile the seccomp profile: ${message}`, { cause: error })
    }
    if (output.length === 0 || output.length % 8 !== 0)
      throw unavailable('cannot compile the seccomp profile: the compiler answered no filter')
    return Buffer.from(output)
  }
}
