/**
 * Runs a pipeline as River 0.23.0 would, on dense vectors instead of dicts: the same scores, the same learning. It
 * verifies written files, scores champions again and replays a fleet through the ml-service's loop.
 *
 * `compile` fixes the features once, drops whatever no later step reads (a pipeline sees every sensor of a heat pump
 * and uses ten), and lets the steps write into vectors that are allocated once. What it leaves out cannot be seen in a
 * score. Sums run in the order of `features`, River's in the order of the record's keys, which may differ in the last
 * bit.
 *
 * Source: `river/compose/pipeline.py`. `learn_one` lets every step learn and then transform; a filter that finds the
 * record anomalous ends it. `score_one` only transforms and passes filters by.
 */
import { compareFeatureKeys, type FeatureKey } from "../artifact/FeatureKey.js"
import type { RiverPipeline, Step } from "../artifact/RiverPipeline.js"
import { HalfSpaceTrees } from "./HalfSpaceTrees.js"
import { gather, type Stage, stageOf, type Vector, vector } from "./Stage.js"

export interface Detector {
  /** What the vectors hold, in this order; NaN where the record has no such feature. */
  readonly features: ReadonlyArray<FeatureKey>
  /** Never learns. */
  readonly scoreOne: (values: Float64Array) => number
  readonly learnOne: (values: Float64Array) => void
}

/** The features that somebody reads; undefined when it is every one. */
type Needed = ReadonlySet<FeatureKey> | undefined

const neededBy = (step: Step, after: Needed): Needed => {
  switch (step.kind) {
    case "StandardScaler":
    case "MinMaxScaler":
      return after
    case "SparseRandomProjector":
      return new Set(step.weights.map(({ feature }) => feature))
    case "PolynomialExtender":
      return undefined
    case "TransformerUnion":
      return new Set(
        step.members.flatMap((member) =>
          member.kind === "RollingMean" ? [member.on] : member.weights.map(({ feature }) => feature)
        )
      )
    case "ThresholdFilter":
      return after && new Set([...after, ...step.detector.features])
  }
}

/** The trees at the end, which an untrained pipeline grows from the first record that it learns. */
const detect = (input: Vector, { detector }: RiverPipeline) => {
  let trees = new HalfSpaceTrees(detector)
  let own = gather(input, trees.features)
  const grow = () => {
    const present = input.keys.filter((_, i) => !Number.isNaN(input.out[i])).sort(compareFeatureKeys)
    // River fails on an empty first record; a later one will do.
    if (present.length === 0) return
    trees = HalfSpaceTrees.grow(detector, present)
    own = gather(input, present)
  }
  let isGrown = detector.trees.length > 0
  return {
    learn: () => {
      if (!isGrown) {
        grow()
        isGrown = trees.features.length > 0
        if (!isGrown) return
      }
      own.read()
      trees.learnOne(own.out)
    },
    score: () => {
      own.read()
      return trees.scoreOne(own.out)
    }
  }
}

/** A detector in the pipeline's state, which it copies: learning leaves `pipeline` as it is. */
export const compile = (pipeline: RiverPipeline, features: ReadonlyArray<FeatureKey>): Detector => {
  let needed: Needed = pipeline.detector.trees.length === 0 ? undefined : new Set(pipeline.detector.features)
  const neededAfter: Array<Needed> = []
  for (const step of pipeline.steps.toReversed()) {
    neededAfter.unshift(needed)
    needed = neededBy(step, needed)
  }
  const used = features.flatMap((key, i) => (needed === undefined || needed.has(key) ? [i] : []))
  const usedIndex = Int32Array.from(used)
  const input = vector(used.map((i) => features[i]!))
  const stages: Array<Stage> = []
  for (const [i, step] of pipeline.steps.entries()) {
    stages.push(stageOf(step, stages.at(-1) ?? input, neededAfter[i]))
  }
  const end = detect(stages.at(-1) ?? input, pipeline)
  const read = (values: Float64Array) => {
    for (let i = 0; i < usedIndex.length; i++) input.out[i] = values[usedIndex[i]!]!
  }
  return {
    features,
    scoreOne: (values) => {
      read(values)
      for (let i = 0; i < stages.length; i++) stages[i]!.transform()
      return end.score()
    },
    learnOne: (values) => {
      read(values)
      for (let i = 0; i < stages.length; i++) {
        const stage = stages[i]!
        if (!stage.learn()) return
        stage.transform()
      }
      end.learn()
    }
  }
}
