/** Whether a written model is the model: scores of the file, read back, beside those of what was written. */
import { Either } from "effect"
import type { Model, RiverPipeline } from "../artifact/RiverPipeline.js"
import { readModel } from "../artifact/RiverReader.js"
import { modes } from "../domain/Mode.js"
import { compile } from "./Detector.js"
import { MersenneTwister } from "./MersenneTwister.js"
import { riverCandidate } from "./RiverCandidate.js"

const records = 100
/** Standard deviations around the mean that the records cover. */
const reach = 4

const scalerOf = ({ steps }: RiverPipeline) =>
  new Map(
    steps.flatMap((step) => (step.kind === "StandardScaler" ? step.features : [])).map((row) => [row.feature, row])
  )

/** The largest difference of 100 scores per mode, learning in between; infinite when the file cannot be read. */
export const fileDifference = (model: Model, bytes: Buffer, seed: number): number => {
  const read = readModel(bytes)
  if (Either.isLeft(read)) return Number.POSITIVE_INFINITY
  const random = new MersenneTwister(seed)
  const { features } = riverCandidate("written", model)
  let largest = 0
  for (const mode of modes) {
    const scaler = scalerOf(model[mode])
    const written = compile(model[mode], features)
    const readBack = compile(read.right[mode], features)
    for (let i = 0; i < records; i++) {
      const record = Float64Array.from(features, (feature) => {
        const row = scaler.get(feature)
        return (row?.mean ?? 0) + Math.sqrt(row?.variance ?? 1) * random.uniform(-reach, reach)
      })
      largest = Math.max(largest, Math.abs(written.scoreOne(record) - readBack.scoreOne(record)))
      written.learnOne(record)
      readBack.learnOne(record)
    }
  }
  return largest
}
