/** A `model.pkl` on a disk, read within bounds. */
import { FileSystem } from "@effect/platform"
import { Data, Effect } from "effect"
import { readModel } from "./RiverReader.js"

/** Above four detectors of 25 trees of height 15, the largest that were ever shipped. */
const mostBytes = 2 ** 28

/** The file is larger than any model. */
class ModelTooLarge extends Data.TaggedError("ModelTooLarge")<{ readonly bytes: bigint }> {
  override get message() {
    return `it has ${this.bytes} bytes, and a model has at most ${mostBytes}`
  }
}

export const readModelFile = Effect.fn("ModelFile.read")(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const { size } = yield* fs.stat(file)
  if (size > mostBytes) return yield* new ModelTooLarge({ bytes: size })
  const pickle = yield* fs.readFile(file)
  return { pickle, model: yield* readModel(Buffer.from(pickle)) }
})
