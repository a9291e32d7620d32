/** A fleet in memory as a dataset, for tests and benchmarks of what comes after loading. */
import { Effect } from "effect"
import type { Dataset } from "../../src/training/Dataset.js"
import type { HomeRecords } from "../../src/training/HomeRecords.js"

export const memoryDataset = (model: string, homes: ReadonlyArray<HomeRecords>): Dataset => {
  const byId = new Map(homes.map((home) => [home.installationId, home]))
  return {
    source: "memory",
    models: Effect.succeed([{ model, installations: homes.length }]),
    newestMs: Math.max(...homes.map(({ timestampsMs }) => timestampsMs.at(-1) ?? 0)),
    installations: () => Effect.succeed([...byId.keys()].sort()),
    load: (installationId, _, { fromMs, untilMs }, sensors) =>
      Effect.sync(() => {
        const home = byId.get(installationId)
        if (home === undefined) return []
        const isOutside = (timeMs: number) => timeMs < fromMs || timeMs >= untilMs
        if (home.timestampsMs.some(isOutside))
          throw new Error("the tests' fleets lie within the range that they ask for")
        const columns = new Map([...home.columns].filter(([name]) => sensors.has(name)))
        return [{ installationId, heatpumpId: undefined, timestampsMs: home.timestampsMs, columns }]
      })
  }
}
