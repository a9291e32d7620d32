/** Two small fleets' worth of records, and detectors of every kind of step. */
import type { FeatureKey } from "../../src/artifact/FeatureKey.js"
import { productKey } from "../../src/artifact/FeatureKey.js"
import {
  endlessWindow,
  type HalfSpaceTree,
  type HalfSpaceTreesStep,
  named,
  type RiverPipeline,
  type SparseRandomProjectorStep,
  type Step
} from "../../src/artifact/RiverPipeline.js"
import { MersenneTwister } from "../../src/training/MersenneTwister.js"
import type { Sample } from "../../src/training/Whitening.js"
import type { RiverRecord } from "./river.js"

const normal = (rng: MersenneTwister): number =>
  Math.sqrt(-2 * Math.log(1 - rng.random())) * Math.cos(2 * Math.PI * rng.random())

const sensorNames = ["temp_outside", "temp_flow", "temp_return", "power_current", "power_thermal", "temp_source"]

/** Correlated readings of one heat pump, and some with a broken relation. */
const reading = (rng: MersenneTwister, home: number): RiverRecord => {
  const outside = 4 + 6 * normal(rng)
  const load = Math.max(0.2, (18 - outside) / 20 + 0.05 * normal(rng))
  const flow = 28 + 9 * load + home + 0.3 * normal(rng)
  const thermal = 7 * load
  return {
    temp_outside: outside,
    temp_flow: flow,
    temp_return: flow - 5 * load + 0.2 * normal(rng),
    power_current: thermal / (3.4 + 0.05 * outside) + 0.02 * normal(rng),
    power_thermal: thermal,
    temp_source: outside - 5 + 0.4 * normal(rng)
  }
}

/** Readings of which some lack a sensor, have one that no model knows, are empty or out of all range. */
export const dirtyRecords = (count: number, seed: number): ReadonlyArray<RiverRecord> => {
  const rng = new MersenneTwister(seed)
  return Array.from({ length: count }, (_, i) => {
    const record: Record<string, number> = { ...reading(rng, i % 3) }
    if (i % 97 === 50) return {}
    if (rng.random() < 0.2) delete record[sensorNames[Math.floor(rng.random() * 6)]!]
    if (rng.random() < 0.3) record[`unknown_${i % 5}`] = rng.uniform(-5, 5)
    if (rng.random() < 0.1) record.temp_flow = (record.temp_flow ?? 0) + 15
    if (rng.random() < 0.03) record.temp_outside = 900
    return record
  })
}

export const sampleOf = (rows: number, seed: number): Sample => {
  const rng = new MersenneTwister(seed)
  const homes = Int32Array.from({ length: rows }, (_, row) => row % 4)
  const values = new Float64Array(rows * sensorNames.length)
  for (let row = 0; row < rows; row++) {
    const record = reading(rng, homes[row]!)
    sensorNames.forEach((name, j) => {
      values[row * sensorNames.length + j] = rng.random() < 0.02 ? Number.NaN : record[name]!
    })
  }
  return { features: sensorNames, rows, values, homes }
}

const projector = (
  nComponents: number,
  weights: ReadonlyArray<readonly [FeatureKey, ReadonlyArray<readonly [number, number]>]>
): SparseRandomProjectorStep => ({
  kind: "SparseRandomProjector",
  nComponents,
  seed: 7,
  weights: weights.map(([feature, components]) => ({ feature, components }))
})

const tables = (
  height: number,
  features: ReadonlyArray<FeatureKey>,
  trees: ReadonlyArray<HalfSpaceTree>
): HalfSpaceTreesStep => ({
  kind: "HalfSpaceTrees",
  nTrees: trees.length,
  height,
  windowSize: endlessWindow,
  limits: features.map((feature) => ({ feature, low: 0, high: 1000 })),
  seed: 0,
  counter: 0,
  firstWindow: false,
  features,
  trees
})

/** One tree whose leaves say in which of 128 intervals of its only feature a value lies, the score rising with it. */
const lookup = (threshold: number): HalfSpaceTreesStep => {
  const height = 7
  const edge = (i: number) => threshold * 24 ** ((i - 64) / 64)
  const branch = 1e8 + 1
  const split = new Array<number>(127).fill(0)
  const thresholds = new Array<number>(127).fill(0)
  const rMass = new Array<number>(255).fill(branch)
  const fill = (node: number, from: number, to: number): void => {
    if (to - from > 1) {
      const middle = (from + to) / 2
      thresholds[node] = edge(middle)
      fill(2 * node + 1, from, middle)
      fill(2 * node + 2, middle, to)
      return
    }
    const x = from === 0 ? edge(1) / 2 : Math.sqrt(edge(from) * edge(from + 1))
    const score = x / (x + (3 / 7) * threshold)
    rMass[node] = Math.max(0, Math.round(((1 - score) * endlessWindow * 255 - branch * 127) / 128))
  }
  fill(0, 0, 128)
  return tables(height, [0], [{ split, threshold: thresholds, rMass, lMass: new Array<number>(255).fill(0) }])
}

/** Every kind of step: frozen scaling, glitch guard, products, residuals, a home's own scale, means, a score table. */
export const residualPipeline = (seed: number): RiverPipeline => {
  const rng = new MersenneTwister(seed)
  const d = sensorNames.length
  const each = Array.from({ length: d }, (_, j) => j)
  const pairs = each.flatMap((a) => each.slice(a).map((b) => productKey(a, b))).slice(0, 7)
  const inRange: ReadonlyArray<number> = [endlessWindow, 0, endlessWindow, 0, 0, endlessWindow, 0]
  const guardTree = (j: number): HalfSpaceTree => ({
    split: [j, -1, j],
    threshold: [-8, 0, 8],
    lMass: inRange,
    rMass: inRange
  })
  const row = () => each.map((i) => [i, rng.uniform(-1, 1)] as const)
  const steps: ReadonlyArray<Step> = [
    {
      kind: "StandardScaler",
      withStd: true,
      features: sensorNames.map((feature, j) => ({
        feature,
        count: 1e9,
        mean: [4, 34, 30, 1.4, 4.9, -1][j]!,
        variance: [36, 12, 8, 0.5, 4, 36][j]!
      }))
    },
    {
      kind: "ThresholdFilter",
      threshold: (0.5 * (2 / 7)) / d,
      protect: true,
      detector: tables(2, sensorNames.toSorted(), each.map(guardTree))
    },
    projector(
      d,
      sensorNames.map((name, j) => [name, [[j, 1]]])
    ),
    { kind: "PolynomialExtender", degree: 2 },
    projector(
      d,
      [...each.map(String), ...pairs].map((key) => [key, row()])
    ),
    {
      kind: "StandardScaler",
      withStd: true,
      features: each.map((feature) => ({ feature, count: 300, mean: rng.uniform(-0.1, 0.1), variance: 1.5 }))
    },
    {
      kind: "TransformerUnion",
      members: [
        {
          name: "now",
          ...projector(
            d,
            each.map((j) => [j, [[j, 1]]])
          )
        },
        ...each.map((on) => ({ name: `mean${on}`, kind: "RollingMean" as const, on, windowSize: 20 }))
      ]
    },
    projector(
      2 * d,
      each.flatMap((j) => [[j, [[j, 0.3]]] as const, [`${j}_mean`, [[d + j, 0.5]]] as const])
    ),
    { kind: "PolynomialExtender", degree: 2 },
    projector(
      1,
      Array.from({ length: 2 * d }, (_, k) => [productKey(k, k), [[0, 1]]])
    )
  ]
  return { steps: named(steps), detector: lookup(2) }
}
