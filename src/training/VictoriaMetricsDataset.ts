/**
 * Training data from VictoriaMetrics, by `/api/v1/export`, one installation at a time. What waits in a server's journal
 * is not there yet: a matter of seconds while the database takes writes.
 */
import { Effect, Schedule, Stream } from "effect"
import { statusSensor } from "../domain/Mode.js"
import { DatabaseUnavailable } from "../store/DatabaseAnswer.js"
import { VictoriaMetrics } from "../store/VictoriaMetrics.js"
import { countModels, type Dataset, type DatasetRange, DatasetUnreadable } from "./Dataset.js"
import { ownerOf, readExportLine, seriesName } from "./ExportLine.js"
import { HeatpumpJoiner } from "./HeatpumpJoiner.js"
import { LineSplitter } from "./LineSplitter.js"

const source = "VictoriaMetrics"
const attempts = 4
/** An installation is asked for again, from its beginning, after 1, 2 and 4 seconds. */
const exportAgain = Schedule.intersect(Schedule.exponential("1 second"), Schedule.recurs(attempts - 1))
/** Keeps a line at about 1 MB. */
const maxSamplesPerLine = 50_000

const unreadable = (cause: DatabaseUnavailable) =>
  new DatasetUnreadable({ source, reason: `${cause.message}; tried ${attempts} times`, cause })

/** Any spelling of a model. */
const modelSelector = (model: string) =>
  `model=~"${model.replace(/[.()\\]/g, String.raw`\\$&`).replace(/[ _]/g, "[ _]")}"`

export const makeVictoriaMetricsDataset = Effect.gen(function* () {
  const database = yield* VictoriaMetrics

  // A record without its status is in no mode, so this series is of every installation that counts.
  const list = (selector: string, fromMs: number) =>
    database.series(`${seriesName(statusSensor)}{${selector}}`, fromMs).pipe(
      Effect.retry(exportAgain),
      Effect.mapError(unreadable),
      Effect.map((all) => all.flatMap((labels) => ownerOf(labels) ?? []))
    )

  const loadOnce = (
    installationId: string,
    model: string,
    { fromMs, untilMs }: DatasetRange,
    sensors: ReadonlySet<string>
  ) =>
    Effect.suspend(() => {
      const joiner = new HeatpumpJoiner({ fromMs, untilMs })
      const lines = new LineSplitter((bytes) => {
        const line = readExportLine(bytes.toString("latin1"))
        if (line === undefined) throw new Error("not an export")
        const { owner, timestamps, values } = line
        if (owner !== undefined) joiner.of(owner.heatpumpId).add(owner.sensor, timestamps, values)
      })
      const failed = (reason: string) => new DatabaseUnavailable({ operation: "export", reason })
      const names = `__name__=~"${seriesName(`(${[...sensors].join("|")})`)}"`
      const selector = `{${names},installation_id="${installationId}",${modelSelector(model)}}`
      return database.exportBytes(selector, fromMs, untilMs, maxSamplesPerLine).pipe(
        Stream.runForEach((bytes) =>
          Effect.try({ try: () => lines.push(bytes), catch: () => failed("a line of its answer is not an export's") })
        ),
        Effect.filterOrFail(
          () => !lines.isWithinLine,
          () => failed("its answer ends within a line")
        ),
        Effect.map(() => joiner.finish(installationId))
      )
    })

  const dataset: Dataset = {
    source,
    newestMs: undefined,
    models: Effect.map(list("", 0), (owners) => countModels(owners.map((one) => [one.model, one.installationId]))),
    installations: (model, { fromMs }) =>
      Effect.map(list(modelSelector(model), fromMs), (owners) =>
        [...new Set(owners.map(({ installationId }) => installationId))].sort()
      ),
    load: (installationId, model, range, sensors) =>
      loadOnce(installationId, model, range, sensors).pipe(Effect.retry(exportAgain), Effect.mapError(unreadable))
  }
  return dataset
})
