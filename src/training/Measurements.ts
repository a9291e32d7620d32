/**
 * Raw columns → measurements: what cannot be one becomes NaN.
 *
 * - Outside the sensor's bounds, or of a magnitude that only a byte-order fault has: never a measurement.
 * - A marker of an absent probe at the edge of the bounds or outside of them (65535, -1 %): never one.
 * - A marker within the bounds, as -1 °C is of an outdoor probe: one, unless the sensor says nothing else most of the
 *   time, for then there is no probe.
 *
 * A column without any of these is given on as it is: most are, and a copy of a home with a year of data is 0.4 GB.
 */
import { sensors, smallestMagnitude, unknownFieldLimit } from "../domain/Sensor.js"
import type { Sensor } from "../domain/SensorTable.js"
import type { InstallationRecords } from "./InstallationRecords.js"

/** A marker that is more than this share of a sensor's values is no measurement. */
const absentShare = 0.5
const unknownSensor = { min: -unknownFieldLimit, max: unknownFieldLimit, absent: [] }

const measured = (name: string, values: Float64Array): Float64Array => {
  const { absent, max, min }: Pick<Sensor, "min" | "max" | "absent"> = sensors.get(name) ?? unknownSensor
  const isMarker = (value: number) =>
    absent.includes(value) && (value <= min || value >= max || shareOf(value, values) > absentShare)
  const markers = absent.filter(isMarker)
  let checked: Float64Array | undefined
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    const isWithinBounds = value >= min && value <= max
    const isTooSmall = value !== 0 && value < smallestMagnitude && value > -smallestMagnitude
    if ((isWithinBounds && !isTooSmall && !markers.includes(value)) || Number.isNaN(value)) continue
    checked ??= values.slice()
    checked[i] = Number.NaN
  }
  return checked ?? values
}

const shareOf = (marker: number, values: Float64Array): number => {
  let present = 0
  let marked = 0
  for (const value of values) {
    if (Number.isNaN(value)) continue
    present++
    if (value === marker) marked++
  }
  return marked / present
}

export const measurementsOf = (records: InstallationRecords): InstallationRecords => ({
  ...records,
  columns: new Map(Array.from(records.columns, ([name, values]) => [name, measured(name, values)]))
})
