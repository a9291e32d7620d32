/**
 * Which homes a model was trained with, so that an erasure can say which models it concerns.
 *
 * A file of its own beside the model, readable for its owner alone, and never part of what is downloaded: the SHA-256
 * of the pickle, a salt made for this model, and the HMAC-SHA256 of each installation id with it. Ids have 122 random
 * bits, so they cannot be guessed from it; who has an id can ask for it.
 */
import { createHash, createHmac, randomBytes } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import type { InstallationId } from "../domain/InstallationId.js"
import { currentVersion } from "./Publish.js"
import { homesFile, RegistryError } from "./Registry.js"

export const TrainedHomes = Schema.Struct({
  model: Schema.String,
  model_sha256: Schema.String,
  salt: Schema.String,
  homes: Schema.Array(Schema.String)
})
export type TrainedHomes = typeof TrainedHomes.Type

/** Beside a trained model, before the stem's end. */
export const homesSuffix = "_homes.json"

const decodeHomes = Schema.decode(Schema.parseJson(TrainedHomes))

const digestOf = (salt: string, installation: string) =>
  createHmac("sha256", Buffer.from(salt, "hex")).update(installation).digest("hex")

export const trainedHomes = (model: string, pickle: Uint8Array, installations: ReadonlyArray<string>): TrainedHomes => {
  const salt = randomBytes(32).toString("hex")
  return {
    model,
    model_sha256: createHash("sha256").update(pickle).digest("hex"),
    salt,
    homes: installations.map((installation) => digestOf(salt, installation)).sort()
  }
}

/** A model that a home is in. */
export interface AffectedModel {
  readonly name: string
  /** Null for one that was trained and not published. */
  readonly version: string | null
  /** What clients download now. */
  readonly isCurrent: boolean
  /** Within `MODEL_DIR`. */
  readonly file: string
}

const versionFile = /^versions\/(.+)\.enc\/([^/.][^/]*)\/model\.enc$/

/** Looks through all of `MODEL_DIR`, which need not be there; `unknown` are the models of which nobody knows. */
export const affectedModels = Effect.fn("TrainedHomes.affected")(
  function* (directory: string, installation: InstallationId) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (!(yield* fs.exists(directory))) return { models: [], unknown: [] }
    const files = (yield* fs.readDirectory(directory, { recursive: true })).sort()
    const there = new Set(files)
    const models: Array<AffectedModel> = []
    const unknown: Array<string> = []
    for (const file of files) {
      const [, name, version] = versionFile.exec(file) ?? []
      if (version === undefined && (!file.endsWith(".pkl") || file.startsWith("versions/"))) continue
      const beside =
        version === undefined ? file.replace(/\.pkl$/, homesSuffix) : path.join(path.dirname(file), homesFile)
      const known = there.has(beside)
        ? yield* Effect.option(Effect.flatMap(fs.readFileString(path.join(directory, beside)), decodeHomes))
        : Option.none()
      if (Option.isNone(known)) {
        unknown.push(file)
        continue
      }
      const { homes, model, salt } = known.value
      if (!homes.includes(digestOf(salt, installation))) continue
      const current = name === undefined ? Option.none() : yield* currentVersion(directory, name)
      models.push({
        name: name ?? model,
        version: version ?? null,
        isCurrent: version !== undefined && Option.contains(current, version),
        file
      })
    }
    return { models, unknown }
  },
  Effect.mapError((cause) => new RegistryError({ operation: "look for the models of a home", cause }))
)
