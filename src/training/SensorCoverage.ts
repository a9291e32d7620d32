/**
 * Which sensors a fleet really has. A heat pump has a sensor when at least half of its records measure it and it moves:
 * a set point that never changes tells homes apart, and nothing about any of them.
 */
import { statusSensor } from "../domain/Mode.js"
import type { InstallationRecords } from "./InstallationRecords.js"

/** Of the records of a heat pump. */
const smallestShare = 0.5
/** Of the heat pumps of a fleet: a model must not depend on a sensor that many homes lack. */
export const smallestCoverage = 0.9

export interface CoveredSensor {
  readonly sensor: string
  /** Share of the heat pumps that have it. */
  readonly coverage: number
}

/** Of a sensor's values, those that must differ from the most common one: fewer may be glitches. */
const smallestMovingShare = 0.01

const isPresent = (values: Float64Array): boolean => {
  let count = 0
  // What more than half of the values are, if anything is (Boyer and Moore's majority vote).
  let majority = Number.NaN
  let lead = 0
  for (const value of values) {
    if (Number.isNaN(value)) continue
    count++
    if (lead === 0) majority = value
    lead += value === majority ? 1 : -1
  }
  if (count === 0 || count < smallestShare * values.length) return false
  let same = 0
  for (const value of values) if (value === majority) same++
  return count - same > smallestMovingShare * count
}

export class SensorCoverage {
  #heatpumps = 0
  readonly #present = new Map<string, number>()

  /** Takes note of a heat pump's measurements. */
  add({ columns }: InstallationRecords): void {
    this.#heatpumps++
    for (const [sensor, values] of columns) {
      if (sensor !== statusSensor && isPresent(values)) this.#present.set(sensor, (this.#present.get(sensor) ?? 0) + 1)
    }
  }

  /** Every sensor that any heat pump has, by name. */
  all(): ReadonlyArray<CoveredSensor> {
    return [...this.#present]
      .map(([sensor, count]) => ({ sensor, coverage: count / this.#heatpumps }))
      .sort((a, b) => (a.sensor < b.sensor ? -1 : 1))
  }

  /** Those that nearly all have: what a model may use. */
  fleetSensors(): ReadonlyArray<string> {
    return this.all().flatMap(({ coverage, sensor }) => (coverage >= smallestCoverage ? [sensor] : []))
  }
}
