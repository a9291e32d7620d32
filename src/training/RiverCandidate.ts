/** A model file's detectors on trial. */
import type { FeatureKey } from "../artifact/FeatureKey.js"
import type { Model, RiverPipeline } from "../artifact/RiverPipeline.js"
import { compile } from "./Detector.js"
import type { Candidate } from "./Trial.js"

const namesOf = (keys: ReadonlyArray<FeatureKey>) => keys.filter((key) => typeof key === "string")

/** What a pipeline's first step was given; what else a record holds does not change its scores. */
const inputsOf = ({ steps, detector }: RiverPipeline): ReadonlyArray<string> => {
  for (const step of steps) {
    switch (step.kind) {
      case "StandardScaler":
      case "MinMaxScaler":
        return namesOf(step.features.map(({ feature }) => feature))
      case "SparseRandomProjector":
        return namesOf(step.weights.map(({ feature }) => feature))
      case "ThresholdFilter":
        continue
      case "PolynomialExtender":
      case "TransformerUnion":
        return []
    }
  }
  return namesOf(detector.features)
}

export const riverCandidate = (name: string, model: Model): Candidate => ({
  name,
  features: [...new Set(Object.values(model).flatMap(inputsOf))],
  detectors: (features) => ({
    heating: compile(model.heating, features),
    cooling: compile(model.cooling, features),
    water: compile(model.water, features),
    standby: compile(model.standby, features)
  })
})
