/**
 * The linear part of the residual model: what each sensor shows beyond what the other sensors, and seven products of
 * them, say it should show.
 *
 * Shapes: d sensors, p products, e = d + p columns. x is a record (d), z = (x − mean) / deviation, e = [z, products of
 * z], u = e · W the residuals (d) in units of their deviation within a home.
 *
 * The covariance is that within homes: differences between homes are none of a fault's business, and the scaler behind
 * this map learns them. Records are trimmed once: the 1 % of each home that lie farthest from its median.
 * For sensor j, b = (C_oo + λ I)⁻¹ C_oj over the other columns o, without the products that contain j itself; the
 * residual's direction is unit(j) − b, scaled to variance 1 within a home. Products are predictors only.
 *
 * Cost: two passes of e² / 2 multiplications per record, and d solutions of an e × e system.
 */
import { inverse, Matrix, solve } from "ml-matrix"
import type { ModeRecords } from "./ModeRecords.js"
import { quantile } from "./Quantile.js"

export interface ResidualMap {
  readonly sensors: ReadonlyArray<string>
  readonly mean: Float64Array
  readonly deviation: Float64Array
  /** Pairs of sensor numbers, the smaller first. */
  readonly products: ReadonlyArray<readonly [number, number]>
  /** W: e rows of d. */
  readonly weights: Float64Array
}

const outside = "temp_outside"
const flow = "temp_heat_pump_flow"
const thermal = "power_thermal"
const electric = "power_current"
/** Heat curve, COP and capacity are quadratic in these to a good approximation. */
const productNames: ReadonlyArray<readonly [string, string]> = [
  [outside, outside],
  [flow, flow],
  [thermal, thermal],
  [outside, flow],
  [outside, thermal],
  [flow, thermal],
  [outside, electric]
]

const ridge = 0.003
const trimRidge = 1e-4
const trimmedShare = 0.01
/**
 * What loggers resolve, K and kW. A residual is not taken to be finer than half of that, a sensor that stands still in a
 * mode not to move by less: or rounding would look like a fault.
 */
const resolution = (sensor: string): number => (sensor.startsWith("power_") ? 0.02 : 0.1)
/** Values of a fleet's sensor of which the median is taken. */
const medianSample = 100_000
/** The same for one home. */
const homeMedianSample = 2_000

/** One sensor's values over all homes, every n-th, so that the median costs the same for any fleet. */
const sampleOf = (homes: ReadonlyArray<ModeRecords>, width: number, sensor: number): Float64Array => {
  const rows = homes.reduce((sum, home) => sum + home.timestampsMs.length, 0)
  const step = Math.max(1, Math.floor(rows / medianSample))
  const sample: Array<number> = []
  let row = 0
  for (const { timestampsMs, values } of homes) {
    for (let i = 0; i < timestampsMs.length; i++, row++) {
      if (row % step === 0) sample.push(values[i * width + sensor]!)
    }
  }
  return Float64Array.from(sample)
}

/** Writes z and the products of one record. */
const expand = (map: Omit<ResidualMap, "weights">, values: Float64Array, row: number, out: Float64Array): void => {
  const { mean, deviation, products } = map
  const d = mean.length
  for (let j = 0; j < d; j++) out[j] = (values[row * d + j]! - mean[j]!) / deviation[j]!
  for (let p = 0; p < products.length; p++) out[d + p] = out[products[p]![0]]! * out[products[p]![1]]!
}

/** Adds a home's covariance, of those of its records that `keeps`, to `sum`. */
const addCovariance = (rows: Float64Array, width: number, keeps: (row: number) => boolean, sum: Float64Array): void => {
  const count = rows.length / width
  const mean = new Float64Array(width)
  let kept = 0
  for (let i = 0; i < count; i++) {
    if (!keeps(i)) continue
    kept++
    for (let k = 0; k < width; k++) mean[k]! += rows[i * width + k]!
  }
  for (let k = 0; k < width; k++) mean[k]! /= kept
  const own = new Float64Array(width * width)
  const centred = new Float64Array(width)
  for (let i = 0; i < count; i++) {
    if (!keeps(i)) continue
    for (let k = 0; k < width; k++) centred[k] = rows[i * width + k]! - mean[k]!
    for (let a = 0; a < width; a++) {
      const left = centred[a]!
      for (let b = a; b < width; b++) own[a * width + b]! += left * centred[b]!
    }
  }
  for (let a = 0; a < width; a++) {
    for (let b = a; b < width; b++) {
      const covariance = own[a * width + b]! / kept
      sum[a * width + b]! += covariance
      if (a !== b) sum[b * width + a]! += covariance
    }
  }
}

/** Per record of a home the squared Mahalanobis distance from the home's median. */
const distances = (rows: Float64Array, width: number, precision: Float64Array): Float64Array => {
  const count = rows.length / width
  const step = Math.max(1, Math.floor(count / homeMedianSample))
  const median = Float64Array.from({ length: width }, (_, k) =>
    quantile(
      Float64Array.from({ length: Math.floor(count / step) }, (_, i) => rows[i * step * width + k]!),
      0.5
    )
  )
  const centred = new Float64Array(width)
  const out = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < width; k++) centred[k] = rows[i * width + k]! - median[k]!
    let sum = 0
    for (let a = 0; a < width; a++) {
      let inner = 0
      for (let b = 0; b < width; b++) inner += precision[a * width + b]! * centred[b]!
      sum += centred[a]! * inner
    }
    out[i] = sum
  }
  return out
}

const withRidge = (covariance: Float64Array, width: number, lambda: number): Matrix => {
  const matrix = Matrix.from1DArray(width, width, covariance)
  for (let k = 0; k < width; k++) matrix.set(k, k, matrix.get(k, k) + lambda)
  return matrix
}

const withinHomeCovariance = (homes: ReadonlyArray<ModeRecords>, map: Omit<ResidualMap, "weights">): Float64Array => {
  const d = map.sensors.length
  const width = d + map.products.length
  const rowsOf = ({ values, timestampsMs }: ModeRecords): Float64Array => {
    const rows = new Float64Array(timestampsMs.length * width)
    for (let i = 0; i < timestampsMs.length; i++) {
      expand(map, values, i, rows.subarray(i * width, (i + 1) * width))
    }
    return rows
  }
  const meanOf = (add: (rows: Float64Array, sum: Float64Array) => void): Float64Array => {
    const sum = new Float64Array(width * width)
    for (const home of homes) add(rowsOf(home), sum)
    return sum.map((value) => value / homes.length)
  }
  const raw = meanOf((rows, sum) => addCovariance(rows, width, () => true, sum))
  const precision = Float64Array.from(inverse(withRidge(raw, width, trimRidge)).to1DArray())
  return meanOf((rows, sum) => {
    const distance = distances(rows, width, precision)
    const limit = quantile(distance, 1 - trimmedShare)
    addCovariance(rows, width, (row) => distance[row]! <= limit, sum)
  })
}

/** W from the covariance of the e columns. */
const residualWeights = (covariance: Float64Array, map: Omit<ResidualMap, "weights">): Float64Array => {
  const d = map.sensors.length
  const width = d + map.products.length
  const weights = new Float64Array(width * d)
  const all = Array.from({ length: width }, (_, k) => k)
  for (let j = 0; j < d; j++) {
    const others = all.filter((k) => k !== j && (k < d || !map.products[k - d]!.includes(j)))
    const c = Matrix.from1DArray(width, width, covariance)
    const oo = c.selection(others, others)
    for (let k = 0; k < others.length; k++) oo.set(k, k, oo.get(k, k) + ridge)
    const b = solve(oo, c.selection(others, [j])).to1DArray()
    const direction = new Float64Array(width)
    direction[j] = 1
    for (const [k, column] of others.entries()) direction[column] = -b[k]!
    let variance = 0
    for (let a = 0; a < width; a++) {
      for (let e = 0; e < width; e++) variance += direction[a]! * covariance[a * width + e]! * direction[e]!
    }
    const finest = resolution(map.sensors[j]!) / 2 / map.deviation[j]!
    const scale = 1 / Math.sqrt(Math.max(variance, finest ** 2))
    for (let a = 0; a < width; a++) weights[a * d + j] = direction[a]! * scale
  }
  return weights
}

/** Pre-condition: every home has at least two records. */
export const fitResidualMap = (sensors: ReadonlyArray<string>, homes: ReadonlyArray<ModeRecords>): ResidualMap => {
  const d = sensors.length
  const mean = new Float64Array(d)
  const deviation = new Float64Array(d)
  for (let j = 0; j < d; j++) {
    const sample = sampleOf(homes, d, j)
    mean[j] = quantile(sample, 0.5)
    const average = sample.reduce((sum, x) => sum + x, 0) / sample.length
    const variance = sample.reduce((sum, x) => sum + (x - average) ** 2, 0) / sample.length
    deviation[j] = Math.max(Math.sqrt(variance), resolution(sensors[j]!))
  }
  const products = productNames.flatMap(([a, b]) => {
    const left = sensors.indexOf(a)
    const right = sensors.indexOf(b)
    return left < 0 || right < 0 ? [] : [[Math.min(left, right), Math.max(left, right)] as const]
  })
  const map = { sensors, mean, deviation, products }
  return { ...map, weights: residualWeights(withinHomeCovariance(homes, map), map) }
}

/** u of every record: rows of d. */
export const residualsOf = (map: ResidualMap, { values, timestampsMs }: ModeRecords): Float64Array => {
  const d = map.sensors.length
  const width = d + map.products.length
  const expanded = new Float64Array(width)
  const residuals = new Float64Array(timestampsMs.length * d)
  for (let i = 0; i < timestampsMs.length; i++) {
    expand(map, values, i, expanded)
    for (let a = 0; a < width; a++) {
      const value = expanded[a]!
      for (let j = 0; j < d; j++) residuals[i * d + j]! += value * map.weights[a * d + j]!
    }
  }
  return residuals
}
