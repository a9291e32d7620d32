/**
 * Joins samples that arrive series by series, in pieces and in any order, into records by their exact timestamp.
 *
 * Invariants:
 * - The result depends on the set of samples alone, not on their order: of several samples of one sensor at one time
 *   the largest stays, and of the records within one slot of `slotMs` the first.
 * - `#timestamps` is ascending and distinct, and every column has its length. What has no place in it yet waits in
 *   `#late`.
 *
 * Cost: a merge per piece. The columns are laid out anew each time that a quarter of them waits: O(samples · log) in
 * all.
 */
import type { DatasetRange } from "./Dataset.js"
import { slotMs } from "./InstallationRecords.js"

interface Late {
  readonly timestamps: Array<number>
  readonly values: Array<number>
}

/** Fewer waiting samples than this are not worth laying out anew. */
const fewestLate = 65_536

export class RecordJoiner {
  #timestamps = new Float64Array(0)
  #columns = new Map<string, Float64Array>()
  #late = new Map<string, Late>()
  #lateSamples = 0

  /** Samples outside of `range` are left out. */
  constructor(private readonly range: DatasetRange) {}

  /** Adds samples of one sensor; fastest when they are in order of time. What is no finite number is none. */
  add(sensor: string, timestamps: ReadonlyArray<number>, values: ReadonlyArray<unknown>): void {
    const { fromMs, untilMs } = this.range
    const union = this.#timestamps
    let column = this.#columns.get(sensor)
    let late = this.#late.get(sensor)
    let at = 0
    let lastSlot = Number.NaN
    let firstOfSlot = Number.NaN
    for (let i = 0; i < timestamps.length; i++) {
      const timestamp = timestamps[i]!
      const sent = values[i]
      if (typeof sent !== "number" || !Number.isFinite(sent)) continue
      // Of 0 and -0 none is the larger.
      const value = sent + 0
      if (!(timestamp >= fromMs && timestamp < untilMs)) continue
      // Never the first of its slot, so it would not stay: not worth the memory.
      const slot = Math.floor(timestamp / slotMs)
      if (slot === lastSlot && timestamp > firstOfSlot) continue
      lastSlot = slot
      firstOfSlot = timestamp

      if (at >= union.length || union[at]! < timestamp) at = advance(union, timestamp, at)
      else if (union[at]! > timestamp) at = advance(union, timestamp, 0)
      if (at < union.length && union[at] === timestamp) {
        if (column === undefined) {
          column = new Float64Array(union.length).fill(Number.NaN)
          this.#columns.set(sensor, column)
        }
        const present = column[at]!
        if (!(present >= value)) column[at] = value
      } else {
        if (late === undefined) {
          late = { timestamps: [], values: [] }
          this.#late.set(sensor, late)
        }
        late.timestamps.push(timestamp)
        late.values.push(value)
        this.#lateSamples++
      }
    }
    if (this.#lateSamples > Math.max(fewestLate, (this.#columns.size * union.length) / 4)) this.#layOut()
  }

  /** The records of everything added; the joiner is of no use afterwards. */
  finish(): { readonly timestampsMs: Float64Array; readonly columns: ReadonlyMap<string, Float64Array> } {
    this.#layOut()
    const timestamps = this.#timestamps
    const kept = new Uint32Array(timestamps.length)
    let count = 0
    let lastSlot = Number.NaN
    for (let i = 0; i < timestamps.length; i++) {
      const slot = Math.floor(timestamps[i]! / slotMs)
      if (slot === lastSlot) continue
      lastSlot = slot
      kept[count++] = i
    }
    if (count < timestamps.length) {
      for (const [sensor, values] of this.#columns) this.#columns.set(sensor, select(values, kept, count))
      this.#timestamps = select(timestamps, kept, count)
    }
    return { timestampsMs: this.#timestamps, columns: new Map([...this.#columns].sort(byName)) }
  }

  #layOut(): void {
    if (this.#lateSamples === 0) return
    const union = distinctUnion(this.#timestamps, this.#late, this.#lateSamples)
    const places = new Uint32Array(this.#timestamps.length)
    for (let i = 0, at = 0; i < places.length; i++) {
      while (union[at] !== this.#timestamps[i]) at++
      places[i] = at
    }
    for (const [sensor, values] of this.#columns) {
      const moved = new Float64Array(union.length).fill(Number.NaN)
      for (let i = 0; i < places.length; i++) moved[places[i]!] = values[i]!
      this.#columns.set(sensor, moved)
    }
    const late = this.#late
    this.#timestamps = union
    this.#late = new Map()
    this.#lateSamples = 0
    for (const [sensor, { timestamps, values }] of late) this.add(sensor, timestamps, values)
  }
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1)

/** The first position at or after `from` that does not lie before `timestamp`: steps that double, then halves. */
const advance = (union: Float64Array, timestamp: number, from: number): number => {
  let low = from
  let step = 1
  while (low + step < union.length && union[low + step]! < timestamp) {
    low += step
    step *= 2
  }
  let high = Math.min(union.length, low + step)
  while (low < high) {
    const middle = (low + high) >>> 1
    if (union[middle]! < timestamp) low = middle + 1
    else high = middle
  }
  return low
}

const select = (values: Float64Array, kept: Uint32Array, count: number): Float64Array<ArrayBuffer> => {
  const selected = new Float64Array(count)
  for (let i = 0; i < count; i++) selected[i] = values[kept[i]!]!
  return selected
}

const distinctUnion = (
  known: Float64Array,
  late: ReadonlyMap<string, Late>,
  lateSamples: number
): Float64Array<ArrayBuffer> => {
  const all = new Float64Array(lateSamples)
  let count = 0
  for (const { timestamps } of late.values()) {
    for (let i = 0; i < timestamps.length; i++) all[count++] = timestamps[i]!
  }
  // Sensors of one record share its timestamp, so most are there several times.
  const fresh = all.sort().filter((timestamp, i) => i === 0 || timestamp !== all[i - 1])
  const merged = new Float64Array(known.length + fresh.length)
  let length = 0
  for (let i = 0, j = 0; i < known.length || j < fresh.length; ) {
    const next = j >= fresh.length || (i < known.length && known[i]! <= fresh[j]!) ? known[i]! : fresh[j]!
    if (i < known.length && known[i] === next) i++
    if (j < fresh.length && fresh[j] === next) j++
    merged[length++] = next
  }
  return merged.slice(0, length)
}
