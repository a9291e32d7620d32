/**
 * Records → features, for every record of a heat pump, in plain loops: what danfo's frames and the ml-service's loop
 * are held against.
 *
 * 1. Sensors as measured.
 * 2. `hour_of_day` (0 to 23), `day_of_week` (Monday 0), `is_weekend`, in UTC.
 * 3. `<name>_delta`: the change since the last measurement of that name, in whatever record; missing before the first.
 * 4. `temp_spread`: flow - return, each the first of two sensors that is neither missing nor 0.
 * 5. `cop_instant`: thermal / electric power above 0.2 kW, else 0; missing when either is.
 */
import {
  copFeature,
  deltaRoot,
  flowSensors,
  returnSensors,
  smallestPowerKw,
  spreadFeature
} from "../../src/training/FeatureNames.js"
import type { InstallationRecords } from "../../src/training/InstallationRecords.js"
import { timeFeature } from "../../src/training/TimeFeature.js"

type Column = (row: number) => number

/** One value per record of each feature, NaN when missing. `records` holds measurements: see `Measurements`. */
export const replayFeatures = (
  { columns, timestampsMs }: InstallationRecords,
  features: ReadonlyArray<string>
): ReadonlyMap<string, Float64Array> => {
  const rows = timestampsMs.length
  const sensor = (name: string): Column => {
    const values = columns.get(name)
    return values === undefined ? () => Number.NaN : (row) => values[row]!
  }
  const base = (name: string): Column => {
    const ofTime = timeFeature(name)
    return ofTime === undefined ? sensor(name) : (row) => ofTime(timestampsMs[row]!)
  }
  const either = (names: readonly [string, string]): Column => {
    const [first, second] = [sensor(names[0]), sensor(names[1])]
    return (row) => {
      const value = first(row)
      if (value !== 0 && !Number.isNaN(value)) return value
      const other = second(row)
      return other === 0 ? Number.NaN : other
    }
  }
  const fill = (value: Column) => {
    const values = new Float64Array(rows)
    for (let row = 0; row < rows; row++) values[row] = value(row)
    return values
  }
  const changes = (value: Column) => {
    let last = Number.NaN
    return fill((row) => {
      const now = value(row)
      const change = now - last
      if (!Number.isNaN(now)) last = now
      return change
    })
  }
  const feature = (name: string): Float64Array => {
    if (name === spreadFeature) {
      const [flow, returned] = [either(flowSensors), either(returnSensors)]
      return fill((row) => flow(row) - returned(row))
    }
    if (name === copFeature) {
      const [thermal, electric] = [sensor("power_thermal"), sensor("power_current")]
      return fill((row) => {
        const [heat, power] = [thermal(row), electric(row)]
        if (Number.isNaN(heat) || Number.isNaN(power)) return Number.NaN
        return power > smallestPowerKw ? heat / power : 0
      })
    }
    const root = deltaRoot(name)
    return root === undefined ? fill(base(name)) : changes(base(root))
  }
  return new Map(features.map((name) => [name, feature(name)]))
}
