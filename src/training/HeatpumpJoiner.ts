import type { DatasetRange } from "./Dataset.js"
import type { InstallationRecords } from "./InstallationRecords.js"
import { RecordJoiner } from "./RecordJoiner.js"

/** One `RecordJoiner` for each heat pump of an installation. */
export class HeatpumpJoiner {
  readonly #joiners = new Map<string | undefined, RecordJoiner>()

  constructor(private readonly range: DatasetRange) {}

  of(heatpumpId: string | undefined): RecordJoiner {
    let joiner = this.#joiners.get(heatpumpId)
    if (joiner === undefined) {
      joiner = new RecordJoiner(this.range)
      this.#joiners.set(heatpumpId, joiner)
    }
    return joiner
  }

  /** Those that have records, by heat pump id. */
  finish(installationId: string): ReadonlyArray<InstallationRecords> {
    return [...this.#joiners]
      .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1))
      .map(([heatpumpId, joiner]) => ({ installationId, heatpumpId, ...joiner.finish() }))
      .filter(({ timestampsMs }) => timestampsMs.length > 0)
  }
}
