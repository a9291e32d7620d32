/**
 * Training data from the embedded store's file, also while a server writes to it: a second connection that only reads,
 * one short query at a time. What arrives after it was opened is not seen.
 */
import { gunzipSync } from "node:zlib"
import { Effect, Schema } from "effect"
import { canonicalModel } from "../domain/ModelName.js"
import { eventLoopTurn } from "../eventLoopTurn.js"
import { Blob } from "../store/BlockRecords.js"
import { addLines } from "../store/LineColumns.js"
import { openSqliteToRead } from "../store/Sqlite.js"
import { countModels, type Dataset, DatasetUnreadable } from "./Dataset.js"
import { HeatpumpJoiner } from "./HeatpumpJoiner.js"

const decodeNewest = Schema.decodeUnknownSync(Schema.Tuple(Schema.Struct({ id: Schema.NullOr(Schema.Number) })))
const decodeModels = Schema.decodeUnknownSync(Schema.Array(Schema.Struct({ model: Schema.String, id: Schema.String })))
const decodeIds = Schema.decodeUnknownSync(Schema.Array(Schema.Struct({ id: Schema.String })))
const decodeBlocks = Schema.decodeUnknownSync(
  Schema.Array(Schema.Struct({ id: Schema.Number, heatpumpId: Schema.NullOr(Schema.String), gzippedLines: Blob }))
)
/** About 40 MB of lines. */
const pageBlocks = 64

export const openEmbeddedDataset = Effect.fn("EmbeddedDataset.open")(function* (file: string) {
  const source = `the embedded store ${file}`
  const unreadable = (cause: unknown) =>
    new DatasetUnreadable({ source, reason: cause instanceof Error ? cause.message : String(cause), cause })
  const db = yield* Effect.mapError(openSqliteToRead(file), ({ cause }) => unreadable(cause))
  const attempt = <A>(body: () => A) => Effect.try({ try: body, catch: unreadable })

  const newestId = yield* attempt(() => decodeNewest(db.prepare("SELECT max(id) AS id FROM block").all())[0].id ?? 0)
  const findModels = db.prepare("SELECT DISTINCT model, installation_id AS id FROM block WHERE id <= ?")
  const findInstallations = db.prepare(
    `SELECT DISTINCT installation_id AS id FROM block
     WHERE id <= ? AND model = ? AND last_timestamp_ms >= ? AND first_timestamp_ms < ? ORDER BY id`
  )
  const findBlocks = db.prepare(
    `SELECT id, heatpump_id AS heatpumpId, gzipped_lines AS gzippedLines FROM block
     WHERE installation_id = ? AND id > ? AND id <= ? AND model = ? AND last_timestamp_ms >= ? AND first_timestamp_ms < ?
     ORDER BY id LIMIT ${pageBlocks}`
  )

  const dataset: Dataset = {
    source,
    newestMs: undefined,
    models: attempt(() => countModels(decodeModels(findModels.all([newestId])).map(({ id, model }) => [model, id]))),
    installations: (model, { fromMs, untilMs }) =>
      attempt(() =>
        decodeIds(findInstallations.all([newestId, canonicalModel(model), fromMs, untilMs])).map(({ id }) => id)
      ),
    load: Effect.fn("EmbeddedDataset.load")(function* (installationId, model, { fromMs, untilMs }, sensors) {
      const joiner = new HeatpumpJoiner({ fromMs, untilMs })
      let afterId = 0
      while (true) {
        const rows = yield* attempt(() => {
          const name = canonicalModel(model)
          return decodeBlocks(findBlocks.all([installationId, afterId, newestId, name, fromMs, untilMs]))
        })
        for (const { gzippedLines, heatpumpId, id } of rows) {
          yield* attempt(() => addLines(gunzipSync(gzippedLines), joiner.of(heatpumpId ?? undefined), sensors))
          afterId = id
        }
        if (rows.length < pageBlocks) return joiner.finish(installationId)
        yield* eventLoopTurn
      }
    })
  }
  return dataset
})
