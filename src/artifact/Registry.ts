/**
 * Published models in `MODEL_DIR`:
 *
 *     AERO_SLM.enc -> versions/AERO_SLM.enc/20261125T031502417Z-1f0c9a4be2d7/model.enc
 *     versions/AERO_SLM.enc/20261125T031502417Z-1f0c9a4be2d7/{model.enc, manifest.json, homes.json}
 *
 * Invariants:
 * - A version is complete before it has its name, and never changes after: written in a directory that begins with a
 *   point, synced, renamed.
 * - The link is the only thing that changes, by a rename: whoever follows it finds the whole previous or the whole new
 *   version, whenever the publishing program or the machine ends.
 * - A version's directory is named after what a model may be called plus `.enc`, so that no name leads anywhere else.
 */
import { createHash } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Context, Data, Effect, Layer, Option, Schema } from "effect"
import { canonicalModel, isModelName } from "../domain/ModelName.js"
import { Manifest } from "./Manifest.js"

/** `MODEL_DIR` cannot be read or written. */
export class RegistryError extends Data.TaggedError("RegistryError")<{
  readonly operation: string
  readonly cause: unknown
}> {
  override get message() {
    const reason = this.cause instanceof Error ? `: ${this.cause.message}` : ""
    return `cannot ${this.operation} in MODEL_DIR${reason}`
  }
}

/** Served to whose model has none of its own. */
export const communityModel = "community_model"

export const registryPaths = (directory: string, path: Path.Path) => ({
  link: (name: string) => path.join(directory, `${name}.enc`),
  versions: (name: string) => path.join(directory, "versions", `${name}.enc`),
  lock: path.join(directory, ".publish.lock")
})
export const modelFile = "model.enc"
export const manifestFile = "manifest.json"
/** Which homes a version was trained with (`TrainedHomes`); absent where nobody knows. */
export const homesFile = "homes.json"

/** A model that clients can download. */
export interface PublishedModel {
  readonly name: string
  readonly filename: string
  /** Where its bytes are: never changes, and stays for some versions more. */
  readonly file: string
  readonly sizeBytes: number
  /** Hexadecimal SHA-256 of those bytes. */
  readonly sha256: string
  readonly modifiedMs: number
  /** Undefined for a file that was put there by hand. */
  readonly manifest: Manifest | undefined
}

const decodeManifest = Schema.decode(Schema.parseJson(Manifest))

export const readManifest = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* decodeManifest(yield* fs.readFileString(file))
  }).pipe(Effect.mapError((cause) => new RegistryError({ operation: `read ${manifestFile}`, cause })))

const isMissing = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "reason" in error && error.reason === "NotFound"

/** The names of the versions that are there, the newest first; none of a model that was never published. */
export const listVersions = Effect.fn("Registry.listVersions")(function* (directory: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const paths = registryPaths(directory, yield* Path.Path)
  const entries = yield* fs.readDirectory(paths.versions(name)).pipe(
    Effect.catchIf(isMissing, () => Effect.succeed([])),
    Effect.mapError((cause) => new RegistryError({ operation: `list the versions of ${name}`, cause }))
  )
  return entries
    .filter((entry) => !entry.startsWith("."))
    .sort()
    .reverse()
})

const make = Effect.fn("Registry.make")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const paths = registryPaths(directory, path)
  /** By name; hashes are computed once per version, or once per change of a file put there by hand. */
  const known = new Map<string, { readonly identity: string; readonly model: PublishedModel }>()

  /** What tells versions apart without reading them: where the link leads, or the file's size and time. */
  const identify = Effect.fn("Registry.identify")(function* (name: string) {
    const link = paths.link(name)
    const info = yield* fs.stat(link)
    if (info.type !== "File") return undefined
    const file = yield* fs.realPath(link)
    const modifiedMs = Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
    return { file, modifiedMs, sizeBytes: Number(info.size), identity: `${file} ${info.size} ${modifiedMs}` }
  })

  const load = Effect.fn("Registry.load")(function* (name: string) {
    const found = yield* identify(name)
    if (found === undefined) return undefined
    const { file, identity, modifiedMs, sizeBytes } = found
    const before = known.get(name)
    if (before?.identity === identity) return before.model
    const isVersion = path.basename(file) === modelFile
    const manifest = isVersion
      ? yield* Effect.provideService(
          readManifest(path.join(path.dirname(file), manifestFile)),
          FileSystem.FileSystem,
          fs
        )
      : undefined
    const hash = () => Effect.map(fs.readFile(file), (bytes) => createHash("sha256").update(bytes).digest("hex"))
    const model: PublishedModel = {
      name,
      filename: `${name}.enc`,
      file,
      sizeBytes,
      sha256: manifest?.sha256 ?? (yield* hash()),
      modifiedMs: manifest === undefined ? modifiedMs : Date.parse(manifest.published),
      manifest
    }
    known.set(name, { identity, model })
    return model
  })

  const failed = (operation: string) => (cause: unknown) =>
    cause instanceof RegistryError ? cause : new RegistryError({ operation, cause })

  const published = (name: string) =>
    load(name).pipe(
      // A version that was replaced and removed between two looks: the next look finds its successor.
      Effect.retry({ times: 2, while: () => known.has(name) }),
      Effect.catchAll((error) =>
        isMissing(error) ? Effect.succeed(undefined) : Effect.fail(failed("read a model")(error))
      ),
      Effect.map(Option.fromNullable)
    )

  const list = fs.readDirectory(directory).pipe(
    Effect.catchIf(isMissing, () => Effect.succeed([])),
    Effect.mapError(failed("list models")),
    Effect.map((entries) => entries.filter((entry) => entry.endsWith(".enc")).map((entry) => entry.slice(0, -4))),
    Effect.map((names) => names.filter(isModelName)),
    Effect.flatMap((names) => Effect.forEach(names, published)),
    Effect.map((models) => models.flatMap(Option.toArray).sort((a, b) => b.modifiedMs - a.modifiedMs))
  )

  /** The model of that name, else the community's. */
  const find = Effect.fn("Registry.find")(function* (model: string) {
    if (!isModelName(model)) return Option.none()
    const own = yield* published(canonicalModel(model))
    return Option.isSome(own) ? own : yield* published(communityModel)
  })

  return { list, find, published }
})

/** What can be downloaded, read anew whenever it changes: another program publishes. */
export class Registry extends Context.Tag("telemetry/artifact/Registry")<
  Registry,
  Effect.Effect.Success<ReturnType<typeof make>>
>() {
  static readonly layer = (directory: string) => Layer.effect(this, make(directory))
}
