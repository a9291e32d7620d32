/**
 * The scores of one mode in one home, thinned so that a year of 40 homes can be kept until all are known: when more than
 * `mostScores` come, every second is kept, then every fourth. Nothing is drawn, so the same scores leave the same.
 */

/** Six weeks of records. */
const mostScores = 65_536

export class Scores {
  #kept: Array<number> = []
  #seen = 0
  #step = 1

  push(score: number): void {
    if (this.#seen++ % this.#step !== 0) return
    if (this.#kept.length === mostScores) {
      this.#kept = this.#kept.filter((_, i) => i % 2 === 0)
      this.#step *= 2
    }
    this.#kept.push(score)
  }

  all(): Float64Array {
    return Float64Array.from(this.#kept)
  }
}
