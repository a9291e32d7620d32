/** `training.json` in `MODEL_DIR`: what the last run of `train --all` came to, for whoever asks the server. */
import { FileSystem, Path } from "@effect/platform"
import { Effect, Option, Schema } from "effect"

const seconds = Schema.Number.annotations({ description: "Unix seconds" })

export const LastTraining = Schema.Struct({
  started: seconds,
  finished: Schema.NullOr(seconds).annotations({ description: "Null while it runs, or when it was cut off" }),
  next: Schema.NullOr(seconds).annotations({ description: "Null when it was a single run" }),
  models: Schema.Array(
    Schema.Struct({
      model: Schema.String,
      result: Schema.Literal("published", "trained", "refused", "failed"),
      detail: Schema.String,
      seconds: Schema.Number
    })
  )
}).annotations({ identifier: "LastTraining" })
export type LastTraining = typeof LastTraining.Type

const fileOf = (directory: string) => Effect.map(Path.Path, (path) => path.join(directory, "training.json"))
const decode = Schema.decode(Schema.parseJson(LastTraining))

/** None when there was none yet. */
export const loadLastTraining = Effect.fn("LastTraining.load")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fileOf(directory)
  if (!(yield* fs.exists(file))) return Option.none<LastTraining>()
  return Option.some(yield* decode(yield* fs.readFileString(file)))
})

/** The same, and none when what is there cannot be read. */
export const readLastTraining = (directory: string) =>
  loadLastTraining(directory).pipe(
    Effect.tapError((error) => Effect.logWarning("cannot read the result of the last training", error)),
    Effect.orElseSucceed(() => Option.none<LastTraining>())
  )

/** Nobody sees half of it. */
export const writeLastTraining = Effect.fn("LastTraining.write")(function* (directory: string, training: LastTraining) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fileOf(directory)
  yield* fs.makeDirectory(directory, { recursive: true })
  yield* fs.writeFileString(`${file}.writing`, `${JSON.stringify(training, null, 2)}\n`)
  yield* fs.rename(`${file}.writing`, file)
})
