import Tinypool from "tinypool"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

// Stryker starts vitest once per mutant in the same process. Vitest would end its worker each time, and loading Effect anew
// costs a second; a worker that stays needs 50 ms.
Tinypool.prototype.recycleWorkers = async () => {}

/** Without child processes, databases and long simulations. Each mutant is tried by those that come across it, in this order. */
const testsOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  training: [
    "training/MersenneTwister",
    "training/Split",
    "training/ExportLine",
    "training/scalers",
    "training/RankMetrics",
    "training/HalfSpaceTrees",
    "training/ResidualMap",
    "training/Whitening",
    "training/RecordJoiner",
    "training/features",
    "training/golden",
    "artifact/PythonJson",
    "artifact/PickleBytes",
    "artifact/Pickle",
    "artifact/Envelope"
  ],
  decoder: ["pipeline/Transcode"],
  pipeline: [
    "pipeline/stages",
    "pipeline/FieldSetWriter",
    "pipeline/Records",
    "pipeline/Structure",
    "pipeline/DrainRequest",
    "pipeline/Encode",
    "pipeline/Transcode",
    "pipeline/Quotas",
    "pipeline/Write",
    "pipeline/Body",
    "http/Clients"
  ],
  journal: [
    "store/VictoriaMetricsUrls",
    "store/Erasures",
    "store/BlockTable",
    "store/BlockTableRemoval",
    "store/Journal",
    "store/JournalOperations",
    "store/ForeignFile"
  ],
  pages: ["store/SqlitePages"],
  repair: ["store/ForeignFile", "store/Salvage", "store/Intact"]
}
const tests = testsOf[process.env.MUTATION_GROUP ?? ""]!.map((name) => `test/${name}.test.ts`)

class InOrder extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const place = ({ moduleId }: TestSpecification) => tests.findIndex((name) => moduleId.endsWith(name))
    return files.toSorted((a, b) => place(a) - place(b))
  }
}

export default defineConfig({
  test: {
    include: tests,
    setupFiles: ["test/mutation/setup.ts"],
    sequence: { sequencer: InOrder },
    testTimeout: 60_000,
    poolOptions: { threads: { isolate: false } }
  }
})
