type Release = () => Promise<void> | void

interface Entry {
  name: string
  release: Release
}

/**
 * A stack of things to undo, last in first out. Every step runs, whatever the ones before it threw.
 * Use: push after each thing made; `dispose()` on failure, `keep()` on success.
 */
export class Disposables {
  private entries: Entry[] = []
  private disposing: Promise<void> | undefined

  /** Added to a stack that was disposed of already, the step runs at once. */
  defer(name: string, release: Release): void {
    this.entries.push({ name, release })
    if (this.disposing !== undefined) this.disposing = this.disposing.then(() => this.unwind())
  }

  /** Takes over a value and remembers how to undo it. */
  use<T>(name: string, value: T, release: (value: T) => Promise<void> | void): T {
    this.defer(name, () => release(value))
    return value
  }

  get size(): number {
    return this.entries.length
  }

  /** Forgets all steps: what was made stays. Answers them as a stack of their own. */
  keep(): Disposables {
    const kept = new Disposables()
    kept.entries = this.entries
    this.entries = []
    return kept
  }

  /** Undoes everything, last first. Repeated calls answer the same promise. One error is thrown as it is, several as an AggregateError. */
  dispose(): Promise<void> {
    this.disposing ??= this.unwind()
    return this.disposing
  }

  private async unwind(): Promise<void> {
    const errors: unknown[] = []
    const names: string[] = []
    for (let entry = this.entries.pop(); entry !== undefined; entry = this.entries.pop()) {
      try {
        await entry.release()
      } catch (error) {
        errors.push(error)
        names.push(entry.name)
      }
    }
    if (errors.length === 1) throw errors[0]
    if (errors.length > 1) throw new AggregateError(errors, `failed to undo: ${names.join(', ')}`)
  }
}
