import fs from 'node:fs'
import { format } from './blocks.js'

/**
 * Who holds which address of one pool: a line for each change, appended with one write before the change is answered. It lies where a
 * reboot wipes it, as a reboot ends every holder. Another life of the driver may write to it too, so its size is looked at first.
 */
export class Journal {
  readonly #holders = new Map<number, string>()
  readonly #addresses = new Map<string, number>()
  /** Address given last: the search goes on behind it, so that an address is not soon used again. */
  last: number | undefined
  #fd = -1
  #inode = -1
  #size = 0

  constructor(private readonly file: string) {}

  get count(): number {
    return this.#holders.size
  }

  holderOf(address: number): string | undefined {
    return this.#holders.get(address)
  }

  addressOf(holder: string): number | undefined {
    return holder === '' ? undefined : this.#addresses.get(holder)
  }

  /** To be called before the others, in the same turn of the event loop. */
  refresh(): void {
    const stat = fs.statSync(this.file, { throwIfNoEntry: false })
    if (this.#fd >= 0 && stat?.ino === this.#inode && stat.size === this.#size) return
    this.#load()
  }

  take(address: number, holder: string, moveOn: boolean): void {
    this.#append(`${moveOn ? '+' : '*'} ${format(address)} ${encodeURIComponent(holder)}\n`)
    this.#hold(address, holder)
    if (moveOn) this.last = address
  }

  free(address: number): void {
    this.#append(`- ${format(address)}\n`)
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

  #hold(address: number, holder: string): void {
    this.#holders.set(address, holder)
    if (holder !== '') this.#addresses.set(holder, address)
  }

  #drop(address: number): void {
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
    const match = /^([-+*=]) (\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?: (\S*))?$/.exec(line)
    if (!match) return
    const address = match.slice(2, 6).reduce((sum, part) => sum * 256 + Number(part), 0)
    if (match[1] === '-') this.#drop(address)
    else if (match[1] !== '=') this.#hold(address, decodeURIComponent(match[6] ?? ''))
    if (match[1] === '+' || match[1] === '=') this.last = address
  }

  #compact(): void {
    const lines = [...this.#holders].map(([address, holder]) => `* ${format(address)} ${encodeURIComponent(holder)}\n`)
    if (this.last !== undefined) lines.push(`= ${format(this.last)}\n`)
    fs.writeFileSync(`${this.file}.new`, lines.join(''), { mode: 0o600 })
    fs.renameSync(`${this.file}.new`, this.file)
  }
}
