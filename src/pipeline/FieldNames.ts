/**
 * Which field names outside the sensor registry each installation has used: every one of them is a series of its own in
 * the database, for ever.
 *
 * Memory: at most `maxNames` names in all (about 100 bytes each); the installations that were not heard of longest are
 * forgotten first, and may then use new ones.
 */
export class FieldNames {
  readonly #names = new Map<string, Set<string>>()
  readonly #perInstallation: number
  readonly #maxNames: number
  #total = 0

  constructor(perInstallation: number, maxNames = 500_000) {
    this.#perInstallation = perInstallation
    this.#maxNames = maxNames
  }

  get total(): number {
    return this.#total
  }

  hasUsed(installation: string, name: string): boolean {
    return this.#names.get(installation)?.has(name) === true
  }

  /** For one submission: whether a name may be used, which it then has been. */
  allowanceOf(installation: string): (name: string) => boolean {
    const names = this.#names.get(installation) ?? new Set<string>()
    this.#names.delete(installation)
    this.#names.set(installation, names)
    return (name) => {
      if (names.has(name)) return true
      if (names.size >= this.#perInstallation) return false
      names.add(name)
      this.#total++
      this.#forgetOldest(names)
      return true
    }
  }

  #forgetOldest(current: ReadonlySet<string>): void {
    for (const [installation, names] of this.#names) {
      if (this.#total <= this.#maxNames || names === current) return
      this.#names.delete(installation)
      this.#total -= names.size
    }
  }
}
