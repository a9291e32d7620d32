/**
 * A residual model as a pipeline of River 0.23.0 classes, none of which was made for it:
 *
 * | step            | class                    | does                                                                |
 * |-----------------|--------------------------|---------------------------------------------------------------------|
 * | Guard           | ThresholdFilter          | a record with a value out of range is scored, but not learned       |
 * | StandardScaler  | StandardScaler           | z; its counts are so large that it never moves                      |
 * | Select          | SparseRandomProjector    | sensors to numbers; a missing one becomes 0, the fleet's mean       |
 * | Products        | PolynomialExtender       | all products, of which the next step reads seven                    |
 * | Residuals       | SparseRandomProjector    | u                                                                   |
 * | Home            | StandardScaler           | y; begins with the fleet's prior and learns the home                |
 * | Steady          | ThresholdFilter          | a y beyond its limit does not enter the window                      |
 * | Window          | TransformerUnion         | y beside its rolling means: G                                       |
 * | Mix             | SparseRandomProjector    | G_c / (g_c √(2 d))                                                  |
 * | Square, Sum     | PolynomialExtender, SparseRandomProjector | S                                                  |
 * | (detector)      | HalfSpaceTrees           | one tree as a table from S to a score; above 0.7 from the threshold |
 *
 * The guard stands in front: a single 1e31 would move even a mean of a billion records, and with its variance silence
 * the sensor for ever.
 *
 * The table has 128 leaves with edges θ · 24^((i − 64) / 64). A leaf's score is x / (x + 3/7 θ) at the geometric mean x
 * of its edges, so that score > 0.7 ⇔ S ≥ θ. Its window is never completed, so live data never overwrite it.
 */
import { compareFeatureKeys, type FeatureKey } from "../artifact/FeatureKey.js"
import {
  endlessWindow,
  type HalfSpaceTree,
  type HalfSpaceTreesStep,
  type Named,
  type RiverPipeline,
  type SparseRandomProjectorStep,
  type Step,
  type ThresholdFilterStep
} from "../artifact/RiverPipeline.js"
import { type PhysicalRange, physicalRange } from "./ModeRecords.js"
import type { ResidualModel } from "./ResidualModel.js"

/** What the scaler in front counts as its past: more sightings than a home will ever have. */
export const frozenCount = 1_000_000_000
const seed = 0

/** Leaf scores run from 0.05 to 0.95. */
const tableHeight = 7
const tableSpan = 24

const projector = (nComponents: number, weights: SparseRandomProjectorStep["weights"]): SparseRandomProjectorStep => ({
  kind: "SparseRandomProjector",
  nComponents,
  seed,
  weights
})

/** One tree of two splits per sensor, whose middle holds all the mass: a record out of range scores at least 4/7 d. */
const rangeFilter = (
  unsorted: ReadonlyArray<PhysicalRange & { readonly feature: FeatureKey }>
): ThresholdFilterStep => {
  // Heap order: root, below, not below, unused, unused, in range, above. A missing sensor follows the mass: in range.
  const ranges = [...unsorted].sort((a, b) => compareFeatureKeys(a.feature, b.feature))
  const mass = [endlessWindow, 0, endlessWindow, 0, 0, endlessWindow, 0]
  return {
    kind: "ThresholdFilter",
    // Between the score of a record in range, 0, and the 4/7 d of one with a single value out of it.
    threshold: 1 / 7 / ranges.length,
    protect: true,
    detector: {
      kind: "HalfSpaceTrees",
      nTrees: ranges.length,
      height: 2,
      windowSize: endlessWindow,
      limits: [],
      seed,
      counter: 0,
      firstWindow: false,
      features: ranges.map(({ feature }) => feature),
      trees: ranges.map(({ low, high }, j) => ({
        split: [j, -1, j],
        threshold: [low, 0, high],
        lMass: mass,
        rMass: mass
      }))
    }
  }
}

/** The table from S to the score. */
const scoreTable = (threshold: number): HalfSpaceTree => {
  const leaves = 2 ** tableHeight
  const edge = (i: number) => threshold * tableSpan ** ((i - leaves / 2) / (leaves / 2))
  // A walk that scores stops below a tenth of the window, so branches hold a little more.
  const branchMass = endlessWindow / 10 + 1
  const weights = 2 * leaves - 1
  const split: Array<number> = []
  const thresholds: Array<number> = []
  const rMass: Array<number> = []
  const lMass: Array<number> = []
  const fill = (node: number, from: number, to: number): void => {
    lMass[node] = 0
    if (to - from === 1) {
      const x = from === 0 ? edge(1) / 2 : Math.sqrt(edge(from) * edge(to))
      const score = x / (x + (3 / 7) * threshold)
      // River: score = 1 − Σ mass · 2^depth / (window · (2^(height + 1) − 1)), of which the branches are
      // branchMass · (2^height − 1).
      const mass = ((1 - score) * endlessWindow * weights - branchMass * (leaves - 1)) / leaves
      rMass[node] = Math.max(0, Math.round(mass))
      return
    }
    const middle = (from + to) / 2
    split[node] = 0
    thresholds[node] = edge(middle)
    rMass[node] = branchMass
    fill(2 * node + 1, from, middle)
    fill(2 * node + 2, middle, to)
  }
  fill(0, 0, leaves)
  return { split, threshold: thresholds, lMass, rMass }
}

const tableDetector = (tree: HalfSpaceTree): HalfSpaceTreesStep => ({
  kind: "HalfSpaceTrees",
  nTrees: 1,
  height: tableHeight,
  windowSize: endlessWindow,
  limits: [{ feature: 0, low: 0, high: 1000 }],
  seed,
  counter: 0,
  firstWindow: false,
  features: [0],
  trees: [tree]
})

const step = <S extends Step>(name: string, definition: S): Named<S> => ({ name, ...definition })

export const residualPipeline = (model: ResidualModel): RiverPipeline => {
  const { map, prior, scale, windowLimit, windowSightings, threshold } = model
  const { sensors, mean, deviation, products, weights } = map
  const d = sensors.length
  const components = Array.from({ length: d }, (_, j) => j)
  const rowOf = (row: number) => components.map((j) => [j, weights[row * d + j]!] as const)
  const identity = components.map((j) => ({ feature: j, components: [[j, 1] as const] }))
  const share = Math.sqrt(1 / (2 * d))
  return {
    steps: [
      step("Guard", rangeFilter(sensors.map((feature) => ({ feature, ...physicalRange(feature) })))),
      step("StandardScaler", {
        kind: "StandardScaler",
        withStd: true,
        features: sensors.map((feature, j) => ({
          feature,
          count: frozenCount,
          mean: mean[j]!,
          variance: deviation[j]! ** 2
        }))
      }),
      step(
        "Select",
        projector(
          d,
          sensors.map((feature, j) => ({ feature, components: [[j, 1]] }))
        )
      ),
      step("Products", { kind: "PolynomialExtender", degree: 2 }),
      step(
        "Residuals",
        projector(d, [
          ...components.map((j) => ({ feature: String(j), components: rowOf(j) })),
          ...products.map(([a, b], p) => ({ feature: `${a}*${b}`, components: rowOf(d + p) }))
        ])
      ),
      step("Home", {
        kind: "StandardScaler",
        withStd: true,
        features: components.map((j) => ({
          feature: j,
          count: prior.count,
          mean: prior.mean[j]!,
          variance: prior.variance[j]!
        }))
      }),
      step(
        "Steady",
        rangeFilter(components.map((j) => ({ feature: j, low: -windowLimit[j]!, high: windowLimit[j]! })))
      ),
      step("Window", {
        kind: "TransformerUnion",
        members: [
          { name: "now", ...projector(d, identity) },
          ...components.map((j) => ({
            name: `mean${j}`,
            kind: "RollingMean" as const,
            on: j,
            windowSize: windowSightings
          }))
        ]
      }),
      step(
        "Mix",
        projector(
          2 * d,
          components.flatMap((j) => [
            { feature: j, components: [[j, share / scale[j]!] as const] },
            { feature: `${j}_mean`, components: [[d + j, share / scale[d + j]!] as const] }
          ])
        )
      ),
      step("Square", { kind: "PolynomialExtender", degree: 2 }),
      step(
        "Sum",
        projector(
          1,
          Array.from({ length: 2 * d }, (_, k) => ({ feature: `${k}*${k}`, components: [[0, 1]] }))
        )
      )
    ],
    detector: tableDetector(scoreTable(threshold))
  }
}
