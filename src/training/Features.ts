/**
 * Samples → features, with danfo: one frame per heat pump and mode, of a few thousand rows.
 *
 * Only arithmetic between Series is used, which danfo does in doubles; that between frames and its scalers go through
 * 32-bit tensors, for which no backend is installed. The rules are those of `FeatureNames`.
 */
import type { DataFrame, Series } from "danfojs-node"
import { Effect } from "effect"
import { copFeature, deltaRoot, flowSensors, returnSensors, smallestPowerKw, spreadFeature } from "./FeatureNames.js"
import type { SampledMode } from "./Sampling.js"
import { timeFeature } from "./TimeFeature.js"

export type Danfo = typeof import("danfojs-node")

/** Half a second and 100 MB: only for who trains. */
export const loadDanfo: Effect.Effect<Danfo> = Effect.promise(async () => (await import("danfojs-node")).default)

const timestampColumn = "timestamp_ms"
const previousOf = (column: string) => `${column} before`

const frameOf = (danfo: Danfo, { columns, previousMs, timestampsMs }: SampledMode): DataFrame => {
  const data: Record<string, Array<number>> = {
    [timestampColumn]: Array.from(timestampsMs),
    [previousOf(timestampColumn)]: Array.from(previousMs)
  }
  for (const [name, { previous, values }] of columns) {
    data[name] = Array.from(values)
    data[previousOf(name)] = Array.from(previous)
  }
  // Inferred types would make texts of columns without any value.
  return new danfo.DataFrame(data, { dtypes: Object.keys(data).map(() => "float32") })
}

/** A row of `features` per sampled record, row by row; NaN is missing. */
export const featuresOfSample = (danfo: Danfo, sample: SampledMode, features: ReadonlyArray<string>): Float64Array => {
  const rows = sample.timestampsMs.length
  const matrix = new Float64Array(rows * features.length)
  if (rows === 0) return matrix
  const frame = frameOf(danfo, sample)
  const missing = new danfo.Series(new Array<number>(rows).fill(Number.NaN), { dtypes: ["float32"] })
  const column = (name: string): Series => (frame.columns.includes(name) ? frame.column(name) : missing)
  const map = (series: Series, f: (value: number, row: number) => number): Series =>
    new danfo.Series(numbersOf(series).map(f), { dtypes: ["float32"] })

  /** The first of two sensors that says something; 0 says nothing. */
  const either = ([first, second]: readonly [string, string]): Series => {
    const others = numbersOf(column(second))
    return map(column(first), (value, row) => present(value) ?? present(others[row]!) ?? Number.NaN)
  }
  const cop = (): Series => {
    const [heat, power] = [column("power_thermal"), column("power_current")]
    const heats = numbersOf(heat)
    const ratios = numbersOf(heat.div(power))
    return map(power, (kw, row) => {
      if (Number.isNaN(kw) || Number.isNaN(heats[row])) return Number.NaN
      return kw > smallestPowerKw ? ratios[row]! : 0
    })
  }
  const current = (name: string, timestamps: string): Series =>
    timeFeature(name) === undefined ? column(name) : map(column(timestamps), timeFeature(name)!)
  const feature = (name: string): Series => {
    if (name === spreadFeature) return either(flowSensors).sub(either(returnSensors))
    if (name === copFeature) return cop()
    const root = deltaRoot(name)
    if (root === undefined) return current(name, timestampColumn)
    const before =
      timeFeature(root) === undefined ? column(previousOf(root)) : current(root, previousOf(timestampColumn))
    return current(root, timestampColumn).sub(before)
  }

  features.forEach((name, k) => {
    const values = numbersOf(feature(name))
    for (let row = 0; row < rows; row++) matrix[row * features.length + k] = values[row]!
  })
  return matrix
}

const present = (value: number): number | undefined => (value === 0 || Number.isNaN(value) ? undefined : value)

/** A series' values; danfo's own type allows anything. */
const numbersOf = ({ values }: Series): ReadonlyArray<number> => values.map(Number)
