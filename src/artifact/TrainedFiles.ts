/** A trained model on a disk, with what belongs to it: `model.pkl`, `model_metadata.json`, `metrics.json`. */
import { createHash } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Data, Effect, Option, Schema } from "effect"
import type { GateVerdict } from "./Gate.js"
import { readModelFile } from "./ModelFile.js"
import { homesSuffix, TrainedHomes } from "./TrainedHomes.js"

/** Not a file that can be published. */
class TrainedFilesUnreadable extends Data.TaggedError("TrainedFilesUnreadable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message() {
    return `cannot publish ${this.file}: ${this.reason}`
  }
}

const Facts = Schema.Record({ key: Schema.String, value: Schema.Unknown })
type Facts = typeof Facts.Type
const decodeFacts = Schema.decode(Schema.parseJson(Facts))
const Metadata = Schema.Struct({
  model: Schema.String,
  sha256: Schema.String,
  data: Schema.Struct({ fingerprint: Schema.String })
})
const Metrics = Schema.Struct({ fingerprint: Schema.String, failed_criteria: Schema.Array(Schema.String) })

/** What metrics say of a model, if they are of that model: trained on the same data, and the pickle unchanged since. */
const verdictOf = (pickle: Uint8Array, metadata: Facts | null, metrics: Facts | null): GateVerdict => {
  const about = Schema.decodeUnknownOption(Metadata)(metadata)
  const judged = Schema.decodeUnknownOption(Metrics)(metrics)
  if (Option.isNone(about) || Option.isNone(judged)) return undefined
  const isOfIt =
    about.value.sha256 === createHash("sha256").update(pickle).digest("hex") &&
    about.value.data.fingerprint === judged.value.fingerprint
  return isOfIt ? { failedCriteria: judged.value.failed_criteria } : undefined
}

export const readTrainedFiles = Effect.fn("TrainedFiles.read")(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const unreadable = (reason: string) => new TrainedFilesUnreadable({ file, reason })
  const { pickle } = yield* Effect.mapError(readModelFile(file), ({ _tag, message }) =>
    unreadable(
      _tag === "PickleError" || _tag === "UnreadableModel"
        ? `it is not a model that the ml-service would use: ${message}`
        : message
    )
  )
  const beside = Effect.fnUntraced(function* (...names: ReadonlyArray<string>) {
    for (const name of names) {
      const found = path.join(path.dirname(file), name)
      if (!(yield* Effect.mapError(fs.exists(found), ({ message }) => unreadable(message)))) continue
      return yield* fs.readFileString(found).pipe(
        Effect.flatMap(decodeFacts),
        Effect.mapError(() => unreadable(`${name} beside it cannot be read`))
      )
    }
    return null
  })
  const stem = path.basename(file).replace(/\.pkl$/, "")
  const metadata = yield* beside(`${stem}_metadata.json`)
  const metrics = yield* beside(`${stem}_metrics.json`, "metrics.json")
  const model = Option.map(Schema.decodeUnknownOption(Metadata)(metadata), ({ model }) => model)
  const homes = Option.filter(
    Schema.decodeUnknownOption(TrainedHomes)(yield* beside(`${stem}${homesSuffix}`)),
    ({ model_sha256 }) => model_sha256 === createHash("sha256").update(pickle).digest("hex")
  )
  return {
    pickle,
    metadata,
    metrics,
    model,
    homes: Option.getOrNull(homes),
    verdict: verdictOf(pickle, metadata, metrics)
  }
})
