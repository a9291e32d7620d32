import { group } from "./group.mjs"

const training = [
  "ExportLine",
  "Features",
  "HalfSpaceTrees",
  "LineSplitter",
  "Measurements",
  "MersenneTwister",
  "MinMaxScaler",
  "Quantile",
  "RankMetrics",
  "RecordJoiner",
  "ResidualMap",
  "ResidualPipeline",
  "RollingMean",
  "Sampling",
  "Split",
  "StandardScaler",
  "Whitening"
]
const artifact = ["Fernet", "PickleReader", "PickleWriter", "PythonJson"]

export default group("training", [
  ...training.map((name) => `src/training/${name}.ts`),
  ...artifact.map((name) => `src/artifact/${name}.ts`)
])
