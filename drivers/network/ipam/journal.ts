import fs from 'node:fs'
import { type IpFamily, parseIp } from 'tsd-engine/sdk'
import { format } from './blocks.js'

/**
 * Who holds which address of one pool: a line for each change, appended with one write before the change is answered. It lies where a
 * reboot wipes it, as a reboot ends every holder. Another life of the driver may write to it too, so its size is looked at first.
 */
export class Journal {
  readonly #holders = new Map<bigint, string>()
  readonly #addresses = new Map<string, bigint>()
  /** Address given last: the search goes on behind it, so that an address is not soon used again. */
  last: bigint | undefined
  #fd = -1
  #inode = -1
  #size = 0

  constructor(
    private readonly file: string,
    private readonly family: IpFamily,
  ) {}

  get count(): number {
    return this.#holders.size
  }

  holderOf(address: bigint): string | undefined {
    return this.#holders.get(address)
  }

  addressOf(holder: string): bigint | undefined {
    return holder === '' ? undefined : this.#addresses.get(holder)
  }

  /** To be called before the others, in the same turn of the event loop. */
  refresh(): void {
    const stat = fs.statSync(this.file, { throwIfNoEntry: false })
    if (this.#fd >= 0 && stat?.ino === this.#inode && stat.size === this.#size) return
    this.#load()
  }

  take(address: bigint, holder: string, moveOn: boolean): void {
    this.#append(`${moveOn ? '+' : '*'} ${format(this.family, address)} ${encodeURIComponent(holder)}\n`)
    this.#hold(address, holder)
    if (moveOn) this.last = address
  }

  free(address: bigint): void {
    this.#append(`- ${format(this.family, address)}\n`)
    this.#drop(address)
  }

  close(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd)
    this.#fd = -1
  }

  remove(): void {
    this.close()
    fs.rmSync(this.file, { force: true })
  }

  #hold(address: bigint, holder: string): void {
    this.#holders.set(address, holder)
    if (holder !== '') this.#addresses.set(holder, address)
  }

  #drop(address: bigint): void {
    const holder = this.#holders.get(address)
    this.#holders.delete(address)
    if (holder !== undefined && this.#addresses.get(holder) === address) this.#addresses.delete(holder)
  }

  #append(line: string): void {
    const written = fs.writeSync(this.#fd, line)
    if (written !== Buffer.byteLength(line)) {
      fs.ftruncateSync(this.#fd, this.#size)
      throw Object.assign(new Error(`cannot record an address in ${this.file}: no space left`), { code: 'ENOSPC' })
    }
    this.#size += written
  }

  #load(): void {
    this.close()
    this.#holders.clear()
    this.#addresses.clear()
    this.last = undefined
    const text = fs.existsSync(this.file) ? fs.readFileSync(this.file, 'utf8') : ''
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    const lines = whole.split('\n').slice(0, -1)
    for (const line of lines) this.#replay(line)
    // A line cut short was never answered.
    if (whole.length !== text.length || lines.length > 64 + 4 * this.#holders.size) this.#compact()
    this.#fd = fs.openSync(this.file, fs.constants.O_CREAT | fs.constants.O_WRONLY | fs.constants.O_APPEND, 0o600)
    const stat = fs.fstatSync(this.#fd)
    this.#inode = stat.ino
    this.#size = stat.size
  }

  #replay(line: string): void {
    const match = /^([-+*=]) ([0-9a-f.:]+)(?: (\S*))?$/.exec(line)
    const parsed = match && parseIp(match[2] ?? '')
    if (!match || parsed?.family !== this.family) return
    const address = parsed.value
    if (match[1] === '-') this.#drop(address)
    else if (match[1] !== '=') this.#hold(address, decodeURIComponent(match[3] ?? ''))
    if (match[1] === '+' || match[1] === '=') this.last = address
  }

  #compact(): void {
    const lines = [...this.#holders].map(([address, holder]) => `* ${format(this.family, address)} ${encodeURIComponent(holder)}\n`)
    if (this.last !== undefined) lines.push(`= ${format(this.family, this.last)}\n`)
    fs.writeFileSync(`${this.file}.new`, lines.join(''), { mode: 0o600 })
    fs.renameSync(`${this.file}.new`, this.file)
  }
}
