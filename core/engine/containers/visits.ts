interface Guest {
  leave: AbortController
  left: Promise<void>
}

/** How long a run's layer waits for those who still look at its files. */
const patienceMs = 5_000

/** Who is in the mount namespace of a running container: until they have left it, its layer must not be mounted again. */
export class Visits {
  private readonly guests = new Map<string, Set<Guest>>()

  /** `visit` is told to leave by its signal; it has left when `left` settles. */
  async enter<T>(id: string, visit: (signal: AbortSignal) => Promise<{ value: T; left: Promise<void> }>): Promise<T> {
    const leave = new AbortController()
    const visiting = visit(leave.signal)
    const guest: Guest = { leave, left: visiting.then(({ left }) => left).catch(() => undefined) }
    const guests = this.guests.get(id) ?? new Set()
    this.guests.set(id, guests.add(guest))
    void guest.left.then(() => {
      guests.delete(guest)
      if (guests.size === 0 && this.guests.get(id) === guests) this.guests.delete(id)
    })
    return (await visiting).value
  }

  /** Resolves when nobody is inside any more; who lingers is shown out. */
  async over(id: string): Promise<void> {
    const guests = [...(this.guests.get(id) ?? [])]
    if (guests.length === 0) return
    const gone = Promise.all(guests.map(({ left }) => left))
    const timer = setTimeout(() => guests.forEach(({ leave }) => leave.abort()), patienceMs)
    await gone
    clearTimeout(timer)
  }
}
