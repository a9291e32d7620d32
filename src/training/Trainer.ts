/**
 * From pooled records to a model: load → sample → features → fit, a pipeline per operating mode.
 *
 * Deterministic: the same samples and options give the same model, in whatever order the samples came.
 */
import { Effect } from "effect"
import { type Model, neverAlarming, type RiverPipeline } from "../artifact/RiverPipeline.js"
import { type Mode, modes } from "../domain/Mode.js"
import { canonicalModel } from "../domain/ModelName.js"
import { eventLoopTurn } from "../eventLoopTurn.js"
import type { Dataset } from "./Dataset.js"
import { featuresOf } from "./FeatureNames.js"
import { type Danfo, featuresOfSample, loadDanfo } from "./Features.js"
import { type FleetOptions, type FleetSample, NotEnoughData, readFleet } from "./FleetSample.js"
import type { OnProgress } from "./Progress.js"
import { defaultWhitenedTreesOptions, fitWhitenedTrees, momentsOf, type Sample } from "./Whitening.js"

/** A mode with fewer sampled rows than this ships a pipeline that never alarms. */
const fewestRows = 1_000

interface TrainedMode {
  /** Records that the fleet has in this mode. */
  readonly records: number
  /** Of which this many were sampled. */
  readonly rows: number
  /** Why it was not trained; undefined when it was. */
  readonly untrainedBecause: string | undefined
}

export interface Trained {
  readonly model: Model
  readonly features: ReadonlyArray<string>
  readonly sample: FleetSample
  readonly byMode: Readonly<Record<Mode, TrainedMode>>
}

/** The features of every heat pump's share, one below the other. */
const modeSample = (danfo: Danfo, { heatpumps }: FleetSample, mode: Mode, features: ReadonlyArray<string>): Sample => {
  const shares = heatpumps.map((heatpump) => heatpump[modes.indexOf(mode)]!)
  const rows = shares.reduce((sum, { timestampsMs }) => sum + timestampsMs.length, 0)
  const values = new Float64Array(rows * features.length)
  const homes = new Int32Array(rows)
  let row = 0
  shares.forEach((share, home) => {
    values.set(featuresOfSample(danfo, share, features), row * features.length)
    homes.fill(home, row, row + share.timestampsMs.length)
    row += share.timestampsMs.length
  })
  return { features, rows, values, homes }
}

const untrained = (sample: Sample): RiverPipeline => {
  const { means, variances } = momentsOf(sample)
  return neverAlarming({
    kind: "StandardScaler",
    withStd: true,
    features: sample.features.map((feature, j) => ({
      feature,
      count: sample.rows,
      mean: means[j]!,
      variance: variances[j]!
    }))
  })
}

/** The fleet's sample, of which there is something to learn. */
export const readTrainable = Effect.fn("Trainer.read")(function* (
  dataset: Dataset,
  options: FleetOptions,
  onProgress: OnProgress
) {
  const sample = yield* readFleet(dataset, options, onProgress)
  if (sample.sensors.length === 0) {
    const message = `no sensor of ${canonicalModel(options.model)} is measured by nine in ten heat pumps and moves: there is nothing to learn from`
    return yield* new NotEnoughData({ message })
  }
  return sample
})

/** Half-space trees on whitened features, of the sample's heat pumps. */
export const trainWhitened = Effect.fn("Trainer.trainWhitened")(function* (
  sample: FleetSample,
  seed: number,
  onProgress: OnProgress
) {
  const danfo = yield* loadDanfo
  const features = featuresOf(sample.sensors)

  const trainMode = Effect.fnUntraced(function* (mode: Mode) {
    const position = { done: modes.indexOf(mode), total: modes.length, mode }
    yield* onProgress({ step: "deriving features", ...position })
    const rows = modeSample(danfo, sample, mode, features)
    yield* onProgress({ step: "fitting baseline", ...position })
    yield* eventLoopTurn
    const isTrained = rows.rows >= fewestRows
    const pipeline = isTrained ? fitWhitenedTrees(rows, { ...defaultWhitenedTreesOptions, seed }) : untrained(rows)
    const trained: TrainedMode = {
      records: sample.recordsByMode[position.done]!,
      rows: rows.rows,
      untrainedBecause: isTrained ? undefined : `${rows.rows} of ${fewestRows} rows`
    }
    return { pipeline, trained }
  })
  const heating = yield* trainMode("heating")
  const cooling = yield* trainMode("cooling")
  const water = yield* trainMode("water")
  const standby = yield* trainMode("standby")
  const result: Trained = {
    model: {
      heating: heating.pipeline,
      cooling: cooling.pipeline,
      water: water.pipeline,
      standby: standby.pipeline
    },
    features,
    sample,
    byMode: { heating: heating.trained, cooling: cooling.trained, water: water.trained, standby: standby.trained }
  }
  return result
})
