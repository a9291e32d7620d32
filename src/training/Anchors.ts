/**
 * What a model must at least beat: two scores that learn nothing of a home, on the same sensors and the same split.
 * They have no bounds, so only their ranking is of use.
 */
import { inverse, Matrix } from "ml-matrix"
import type { Mode } from "../domain/Mode.js"
import type { Detector } from "./Detector.js"
import type { ModeRecords } from "./ModeRecords.js"
import type { ModeRecordsByMode } from "./ResidualTraining.js"
import type { Candidate } from "./Trial.js"

interface Moments {
  readonly mean: Float64Array
  readonly deviation: Float64Array
  /** Inverse of the correlation matrix, with a ridge of 0.0001. */
  readonly precision: Float64Array
}

/** Over the records of all homes together; NaN-free by construction of `ModeRecords`. */
const momentsOf = (d: number, homes: ReadonlyArray<ModeRecords>): Moments => {
  const rows = Math.max(
    1,
    homes.reduce((sum, { timestampsMs }) => sum + timestampsMs.length, 0)
  )
  const mean = new Float64Array(d)
  for (const { values } of homes) for (let i = 0; i < values.length; i++) mean[i % d]! += values[i]! / rows
  const covariance = new Float64Array(d * d)
  for (const { values } of homes) {
    for (let i = 0; i < values.length; i += d) {
      for (let a = 0; a < d; a++) {
        const left = values[i + a]! - mean[a]!
        for (let b = 0; b < d; b++) covariance[a * d + b]! += (left * (values[i + b]! - mean[b]!)) / rows
      }
    }
  }
  if (d === 0) return { mean, deviation: mean, precision: mean }
  const deviation = Float64Array.from({ length: d }, (_, j) => Math.sqrt(covariance[j * d + j]!) + 1e-6)
  const correlation = new Matrix(d, d)
  for (let a = 0; a < d; a++) {
    for (let b = 0; b < d; b++) {
      correlation.set(a, b, covariance[a * d + b]! / (deviation[a]! * deviation[b]!) + (a === b ? 1e-4 : 0))
    }
  }
  return { mean, deviation, precision: Float64Array.from(inverse(correlation).to1DArray()) }
}

type Statistic = (z: Float64Array, moments: Moments) => number

/** Squared distance from the fleet's mean, in units of the fleet's covariance, per sensor; 0 without any sensor. */
const mahalanobis: Statistic = (z, { precision }) => {
  const d = z.length
  let sum = 0
  for (let a = 0; a < d; a++) for (let b = 0; b < d; b++) sum += z[a]! * precision[a * d + b]! * z[b]!
  return sum / Math.max(1, d)
}

const meanAbsoluteZ: Statistic = (z) => z.reduce((sum, value) => sum + Math.abs(value), 0) / Math.max(1, z.length)

const nothing = () => {}

const anchor = (name: string, statistic: Statistic, sensors: ReadonlyArray<string>, homes: ModeRecordsByMode) => {
  const moments = {
    heating: momentsOf(sensors.length, homes.heating),
    cooling: momentsOf(sensors.length, homes.cooling),
    water: momentsOf(sensors.length, homes.water),
    standby: momentsOf(sensors.length, homes.standby)
  }
  const detectors: Candidate["detectors"] = (features) => {
    const index = sensors.map((sensor) => features.indexOf(sensor))
    const z = new Float64Array(sensors.length)
    const detector = (mode: Mode): Detector => {
      const { mean, deviation } = moments[mode]
      return {
        features,
        scoreOne: (values) => {
          for (let j = 0; j < z.length; j++) {
            const value = (values[index[j]!]! - mean[j]!) / deviation[j]!
            z[j] = Number.isNaN(value) ? 0 : value
          }
          return statistic(z, moments[mode])
        },
        learnOne: nothing,
        save: () => nothing
      }
    }
    return {
      heating: detector("heating"),
      cooling: detector("cooling"),
      water: detector("water"),
      standby: detector("standby")
    }
  }
  return { name, features: sensors, detectors }
}

const mahalanobisName = "Mahalanobis distance"
export const meanAbsoluteZName = "mean |z|"

export const anchors = (sensors: ReadonlyArray<string>, homes: ModeRecordsByMode): ReadonlyArray<Candidate> => [
  anchor(mahalanobisName, mahalanobis, sensors, homes),
  anchor(meanAbsoluteZName, meanAbsoluteZ, sensors, homes)
]
