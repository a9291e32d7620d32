/** Half-space trees, scalers and pipelines against what River 0.23.0 computed: equal to the last bit. */
import { assert, describe, it } from "@effect/vitest"
import { named } from "../../src/artifact/RiverPipeline.js"
import { compile } from "../../src/training/Detector.js"
import { HalfSpaceTrees, type Parameters, untrained } from "../../src/training/HalfSpaceTrees.js"
import { MersenneTwister } from "../../src/training/MersenneTwister.js"
import { MinMaxScaler } from "../../src/training/MinMaxScaler.js"
import { StandardScaler } from "../../src/training/StandardScaler.js"
import {
  featuresOf,
  golden,
  type Masses,
  massesOf,
  type RiverRecord,
  type Splits,
  splitsOf,
  vectorOf
} from "../support/river.js"

type ByFeature = Readonly<Record<string, number>>

interface Run {
  readonly records: ReadonlyArray<{ readonly x: RiverRecord; readonly score_before_learn: number }>
  readonly scores_before_learn: ReadonlyArray<number>
  readonly final: {
    readonly counter: number
    readonly first_window: boolean
    readonly splits_preorder: Splits
    readonly masses_preorder_l_r: Masses
    readonly rng_state: ReadonlyArray<number>
    readonly scaler: { readonly [state in "counts" | "means" | "vars" | "min" | "max"]: ByFeature }
  }
}

const parameters: Parameters = { nTrees: 10, height: 6, windowSize: 50, limits: [], seed: 42 }

const byFeature = <A extends { readonly feature: string | number }>(
  entries: ReadonlyArray<A>,
  value: (entry: A) => number
) => Object.fromEntries(entries.map((entry) => [entry.feature, value(entry)]))

const runs = [
  "ii_minmax_1000",
  "iii_standard_1000",
  "iiib_standard_limits4_1000",
  "iv_minmax_missing_600",
  "iv_standard_missing_600"
]

describe("as recorded from River 0.23.0", () => {
  it.each(runs)("%s: scores, splits, masses, scaler and random generator", (name) => {
    const recorded = golden<Run>(`${name}.json.gz`)
    const records = (name.startsWith("iiib") ? golden<Run>("iii_standard_1000.json.gz") : recorded).records.map(
      ({ x }) => x
    )
    const expected = recorded.scores_before_learn ?? recorded.records.map((record) => record.score_before_learn)
    const features = featuresOf(records)
    const first = Object.keys(records[0]!)
    const limits = name.startsWith("iiib") ? first.map((feature) => ({ feature, low: -4, high: 4 })) : []
    const rng = new MersenneTwister(42)
    const trees = HalfSpaceTrees.grow({ ...parameters, limits }, [...first].sort(), rng)
    const scaler = name.includes("minmax") ? new MinMaxScaler(features) : new StandardScaler(features)
    const pipeline = compile(
      { steps: named([scaler.toStep()]), detector: untrained({ ...parameters, limits }) },
      features
    )
    const scaled = new Float64Array(features.length)
    const columns = trees.features.map((feature) => features.indexOf(String(feature)))
    const scores: Array<number> = []
    const piped: Array<number> = []
    for (const record of records) {
      const x = vectorOf(features, record)
      scaler.transformOne(x, scaled)
      scores.push(trees.scoreOne(Float64Array.from(columns, (column) => scaled[column]!)))
      scaler.learnOne(x)
      scaler.transformOne(x, scaled)
      trees.learnOne(Float64Array.from(columns, (column) => scaled[column]!))
      piped.push(pipeline.scoreOne(x))
      pipeline.learnOne(x)
    }

    assert.deepStrictEqual(scores, expected)
    assert.deepStrictEqual(piped, expected)
    const { final } = recorded
    const step = trees.toStep()
    assert.strictEqual(step.counter, final.counter)
    assert.strictEqual(step.firstWindow, final.first_window)
    assert.deepStrictEqual(splitsOf(step), final.splits_preorder)
    assert.deepStrictEqual(massesOf(step), final.masses_preorder_l_r)
    const { words, index } = rng.state()
    assert.deepStrictEqual([...words, index], final.rng_state)
    const state = scaler.toStep()
    if (state.kind === "StandardScaler") {
      assert.deepStrictEqual(
        byFeature(state.features, ({ count }) => count),
        final.scaler.counts
      )
      assert.deepStrictEqual(
        byFeature(state.features, ({ mean }) => mean),
        final.scaler.means
      )
      assert.deepStrictEqual(
        byFeature(state.features, ({ variance }) => variance),
        final.scaler.vars
      )
    } else {
      assert.deepStrictEqual(
        byFeature(state.features, ({ min }) => min),
        final.scaler.min
      )
      assert.deepStrictEqual(
        byFeature(state.features, ({ max }) => max),
        final.scaler.max
      )
    }
  })

  it("the example of River's documentation", () => {
    const example = golden<{
      readonly warmup: ReadonlyArray<number>
      readonly then_learn_then_score: ReadonlyArray<{ readonly x: number; readonly score_after_learn: number }>
      readonly splits_preorder: Splits
      readonly masses_preorder_l_r: Masses
    }>("i_doc_example.json")
    const trees = HalfSpaceTrees.grow({ nTrees: 5, height: 3, windowSize: 3, limits: [], seed: 42 }, ["x"])
    for (const x of example.warmup) trees.learnOne(Float64Array.of(x))
    for (const { x, score_after_learn } of example.then_learn_then_score) {
      trees.learnOne(Float64Array.of(x))
      assert.strictEqual(trees.scoreOne(Float64Array.of(x)), score_after_learn)
    }
    assert.deepStrictEqual(splitsOf(trees.toStep()), example.splits_preorder)
    assert.deepStrictEqual(massesOf(trees.toStep()), example.masses_preorder_l_r)
  })

  it("splits of other shapes, seeds and limits, and the generator behind them", () => {
    interface Grown {
      readonly n_trees: number
      readonly height: number
      readonly features_sorted: ReadonlyArray<string>
      readonly limits: Readonly<Record<string, readonly [number, number]>> | null
      readonly splits_preorder: Splits
      readonly rng_index_after: number
      readonly rng_next_random: number
    }
    for (const [name, grown] of Object.entries(golden<Readonly<Record<string, Grown>>>("v_tree_splits.json.gz"))) {
      const seed = Number(/^seed(\d+)/.exec(name)![1])
      const limits = Object.entries(grown.limits ?? {}).map(([feature, [low, high]]) => ({ feature, low, high }))
      const rng = new MersenneTwister(seed)
      const trees = HalfSpaceTrees.grow(
        { nTrees: grown.n_trees, height: grown.height, windowSize: 250, limits, seed },
        grown.features_sorted,
        rng
      )
      assert.deepStrictEqual(splitsOf(trees.toStep()), grown.splits_preorder, name)
      assert.strictEqual(rng.state().index, grown.rng_index_after)
      assert.strictEqual(rng.random(), grown.rng_next_random)
    }
  })
})
