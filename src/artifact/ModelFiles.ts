import { FileSystem, Path } from "@effect/platform"
import { Effect, Option } from "effect"

/** A trained model as it lies in `MODEL_DIR`. */
export interface ModelFile {
  readonly name: string
  readonly filename: string
  readonly sizeBytes: number
  readonly modifiedMs: number
}

const extension = /\.(pkl|enc)$/

/** The models that are there, newest first; none when the directory does not exist yet. */
export const listModelFiles = Effect.fn("ModelFiles.list")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* fs.readDirectory(directory).pipe(
    Effect.catchIf(
      (error) => error._tag === "SystemError" && error.reason === "NotFound",
      () => Effect.succeed([])
    )
  )
  const files = yield* Effect.forEach(
    names.filter((name) => extension.test(name)),
    (filename) =>
      Effect.map(
        fs.stat(path.join(directory, filename)),
        (info): ModelFile => ({
          name: filename.replace(extension, ""),
          filename,
          sizeBytes: Number(info.size),
          modifiedMs: Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
        })
      )
  )
  return files.sort((a, b) => b.modifiedMs - a.modifiedMs)
})
