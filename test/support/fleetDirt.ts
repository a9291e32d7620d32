/** What loggers and probes do to clean data. Apart from the physics, so that a test can say what it is about. */
import { dayMs, type SimulatedHome } from "./fleet.js"
import { SeededRandom } from "./random.js"

export interface DirtOptions {
  readonly seed: number
  /** Share of values that are missing. Default 0.002. */
  readonly missing?: number
  /** Gaps of 0.5 to 3 h per ten days. Default 2. */
  readonly gaps?: number
  /** Share of values that are garbage: 1e31, a denormal, 0 or 85, -1. Default 0.0005. */
  readonly glitches?: number
  /** Adds probes that are not there, as -1 or 65535. Default true. */
  readonly absentProbes?: boolean
}

/** Garbage of a driver's byte-order fault, and what dead probes say. */
const garbage = [1e31, -3.4e38, 2.4e-27, 0, 85, -1]
const absentProbes: ReadonlyArray<readonly [string, number]> = [
  ["temp_cold_storage", -1],
  ["temp_external_room_a", -1],
  ["temp_external_outdoor", -1],
  ["state_brine_pump", 65535]
]

/** The same home as its logger would tell it; `home` stays as it is. */
export const soil = (home: SimulatedHome, options: DirtOptions): SimulatedHome => {
  const { missing = 0.002, gaps = 2, glitches = 0.0005 } = options
  const random = new SeededRandom(options.seed, home.timestampsMs.length)
  const count = home.timestampsMs.length
  const firstMs = home.timestampsMs[0] ?? 0
  const spanMs = (home.timestampsMs[count - 1] ?? 0) - firstMs
  const holes = Array.from({ length: Math.round((gaps * spanMs) / (10 * dayMs)) }, () => {
    const fromMs = firstMs + random.uniform() * spanMs
    return [fromMs, fromMs + random.uniform(0.5, 3) * 3_600_000] as const
  })
  const kept: Array<number> = []
  for (let i = 0; i < count; i++) {
    const timestampMs = home.timestampsMs[i]!
    if (!holes.some(([fromMs, untilMs]) => timestampMs >= fromMs && timestampMs < untilMs)) kept.push(i)
  }
  const select = (values: Float64Array) => Float64Array.from(kept, (i) => values[i]!)
  /** Strikes about `share` of the values. */
  const strike = (values: Float64Array, share: number, value: () => number) => {
    if (share <= 0) return
    const strikes = Math.round(share * values.length)
    for (let i = 0; i < strikes; i++) values[Math.floor(random.uniform() * values.length)] = value()
  }
  const columns = new Map<string, Float64Array>()
  for (const [name, clean] of home.columns) {
    const values = select(clean)
    strike(values, glitches, () => random.pick(garbage))
    strike(values, missing, () => Number.NaN)
    columns.set(name, values)
  }
  if (options.absentProbes ?? true) {
    for (const [name, marker] of absentProbes) columns.set(name, new Float64Array(kept.length).fill(marker))
  }
  return { installationId: home.installationId, timestampsMs: select(home.timestampsMs), columns }
}
