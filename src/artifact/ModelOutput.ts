/**
 * The files of a trained model, written so that nobody ever sees half of one: each beside its target first, synced, and
 * then renamed; the model itself comes last, so whoever finds it finds what belongs to it.
 */
import { FileSystem, Path } from "@effect/platform"
import { Data, Effect } from "effect"

/** The output cannot be written; said before any work is done where that is possible. */
class OutputUnwritable extends Data.TaggedError("OutputUnwritable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message() {
    return `cannot write ${this.file}: ${this.reason}; choose another with --output`
  }
}

interface OutputFile {
  /** Name within the directory. */
  readonly name: string
  readonly content: string | Uint8Array
  /** Readable for its owner alone. */
  readonly isPrivate?: boolean
}

const unwritable = (file: string) => (error: { readonly message: string }) =>
  new OutputUnwritable({ file, reason: error.message })
const temporary = (name: string) => `.${name}.writing`

/** Makes the directory and proves that files can be made there, under the names that `writeOutput` will use. */
export const checkOutput = Effect.fn("ModelOutput.check")(function* (directory: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const target = path.join(directory, name)
  const probe = path.join(directory, temporary(name))
  yield* fs
    .makeDirectory(directory, { recursive: true })
    .pipe(
      Effect.zipRight(fs.writeFile(probe, new Uint8Array())),
      Effect.zipRight(fs.remove(probe)),
      Effect.mapError(unwritable(target))
    )
  const isDirectory = yield* fs.stat(target).pipe(
    Effect.map(({ type }) => type === "Directory"),
    Effect.orElseSucceed(() => false)
  )
  if (isDirectory) return yield* new OutputUnwritable({ file: target, reason: "it is a directory" })
})

/**
 * Every file is written beside its target before the first is renamed, in the order given: a full disk changes nothing.
 */
export const writeOutput = Effect.fn("ModelOutput.write")(function* (
  directory: string,
  files: ReadonlyArray<OutputFile>
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const encode = (content: string | Uint8Array) =>
    typeof content === "string" ? new TextEncoder().encode(content) : content

  for (const { content, isPrivate, name } of files) {
    const file = path.join(directory, temporary(name))
    yield* Effect.acquireRelease(fs.open(file, { flag: "w", mode: isPrivate === true ? 0o600 : 0o644 }), () =>
      Effect.ignore(fs.remove(file))
    ).pipe(
      Effect.tap((opened) => Effect.zipRight(opened.writeAll(encode(content)), opened.sync)),
      Effect.mapError(unwritable(path.join(directory, name)))
    )
  }
  yield* Effect.forEach(files, ({ name }) =>
    Effect.mapError(
      fs.rename(path.join(directory, temporary(name)), path.join(directory, name)),
      unwritable(path.join(directory, name))
    )
  ).pipe(
    // The names themselves are safe once the directory is synced.
    Effect.zipRight(Effect.scoped(Effect.flatMap(fs.open(directory), (opened) => opened.sync))),
    Effect.mapError((error) => (error instanceof OutputUnwritable ? error : unwritable(directory)(error))),
    Effect.uninterruptible
  )
}, Effect.scoped)
