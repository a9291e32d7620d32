import Tinypool from "tinypool"
import { defineConfig } from "vitest/config"

// Stryker starts vitest once per mutant in the same process. Vitest would end its worker each time, and loading Effect anew
// costs a second; a worker that stays needs 50 ms.
Tinypool.prototype.recycleWorkers = async () => {}

const training = [
  "ExportLine",
  "features",
  "golden",
  "HalfSpaceTrees",
  "MersenneTwister",
  "RankMetrics",
  "RecordJoiner",
  "ResidualMap",
  "Split",
  "Whitening",
  "scalers"
]
const artifact = ["Envelope", "Pickle", "PickleBytes", "PythonJson"]

/** Tests without child processes, databases and long simulations: each mutant is tried by those that come across it. */
export default defineConfig({
  test: {
    include: [
      ...training.map((name) => `test/training/${name}.test.ts`),
      ...artifact.map((name) => `test/artifact/${name}.test.ts`)
    ],
    setupFiles: ["test/mutation/noMutant.ts"],
    testTimeout: 60_000,
    poolOptions: { threads: { isolate: false } }
  }
})
