/** How fast a number has changed over the last minute, from what it was every now and then. */
export class Trend {
  readonly #notes: Array<{ readonly atMs: number; readonly value: number }> = []

  note(atMs: number, value: number): void {
    this.#notes.push({ atMs, value })
    while (this.#notes.length > 2 && this.#notes[1]!.atMs <= atMs - windowMs) this.#notes.shift()
  }

  /** 0 until there are two notes. */
  perSecond(): number {
    const first = this.#notes[0]
    const last = this.#notes.at(-1)
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0
    return ((last.value - first.value) * 1000) / (last.atMs - first.atMs)
  }
}

const windowMs = 60_000
