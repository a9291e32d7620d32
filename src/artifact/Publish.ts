/** Publishing and taking back: the only code that changes what `Registry` reads. */
import { createHash, randomBytes } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Data, Effect, Option, type Schema } from "effect"
import { canonicalModel } from "../domain/ModelName.js"
import { type EnvelopeKeys, openModel, sealModel, signingKeyId } from "./Envelope.js"
import type { Manifest } from "./Manifest.js"
import { waitForLock } from "./ModelLock.js"
import type { PythonJson } from "./PythonJson.js"
import {
  homesFile,
  listVersions,
  manifestFile,
  modelFile,
  RegistryError,
  readManifest,
  registryPaths
} from "./Registry.js"
import type { TrainedHomes } from "./TrainedHomes.js"

/** There is nothing to go back to. */
class VersionUnknown extends Data.TaggedError("VersionUnknown")<{ readonly message: string }> {}

interface Publication {
  /** What clients ask for: the heat pump's model, or `communityModel`. */
  readonly name: string
  readonly pickle: Uint8Array
  readonly gate: Manifest["gate"]
  readonly metadata: Manifest["metadata"]
  readonly metrics: Manifest["metrics"]
  /** Kept beside the version, for the operator alone. */
  readonly homes?: TrainedHomes | null
}

interface PublishOptions {
  /** `MODEL_DIR`. */
  readonly directory: string
  readonly keys: EnvelopeKeys
  /** Versions to keep per model; the current one stays whatever its age. */
  readonly keep: number
}

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex")

/** On disk when it returns: content, and with the directory its name. */
const syncDirectory = Effect.fn("Publish.syncDirectory")(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.scoped(Effect.flatMap(fs.open(directory), (opened) => opened.sync))
})
const writeSynced = Effect.fn("Publish.writeSynced")(function* (file: string, content: string, mode = 0o644) {
  const fs = yield* FileSystem.FileSystem
  const bytes = new TextEncoder().encode(content)
  yield* fs.open(file, { flag: "w", mode }).pipe(
    Effect.tap((opened) => Effect.zipRight(opened.writeAll(bytes), opened.sync)),
    Effect.scoped
  )
})

/** Makes a version the one that clients get. */
const pointTo = Effect.fn("Publish.pointTo")(function* (directory: string, name: string, version: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { link, versions } = registryPaths(directory, path)
  const target = path.relative(directory, path.join(versions(name), version, modelFile))
  const temporary = path.join(directory, `.${name}.publishing`)
  yield* fs.remove(temporary, { force: true })
  yield* fs.symlink(target, temporary)
  yield* fs.rename(temporary, link(name))
  yield* syncDirectory(directory)
})

/** The version that clients get now; none where nothing is published, or a file was put there by hand. */
export const currentVersion = Effect.fn("Publish.currentVersion")(function* (directory: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { link } = registryPaths(directory, path)
  return yield* fs.readLink(link(name)).pipe(
    Effect.map((target) => Option.some(path.basename(path.dirname(target)))),
    Effect.catchIf(
      (error) => error._tag === "BadArgument" || error.reason !== "PermissionDenied",
      () => Effect.succeedNone
    ),
    Effect.mapError((cause) => new RegistryError({ operation: `see which version of ${name} is current`, cause }))
  )
})

/** What a publication that was cut off has left, and versions beyond those to keep. */
const tidy = Effect.fn("Publish.tidy")(function* (directory: string, name: string, keep: number) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const versions = registryPaths(directory, path).versions(name)
  const current = yield* currentVersion(directory, name)
  const superfluous = (yield* listVersions(directory, name)).filter((version) => !Option.contains(current, version))
  const unfinished = (yield* fs.readDirectory(versions)).filter((entry) => entry.startsWith("."))
  yield* Effect.forEach([...superfluous.slice(keep - 1), ...unfinished], (entry) =>
    fs.remove(path.join(versions, entry), { recursive: true, force: true })
  )
})

const inDirectory = <A, E, R>(operation: string, directory: string, work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fs.makeDirectory(directory, { recursive: true })
    yield* waitForLock(registryPaths(directory, path).lock)
    return yield* work
  }).pipe(
    Effect.scoped,
    Effect.mapError((cause) =>
      cause instanceof VersionUnknown || cause instanceof RegistryError
        ? cause
        : new RegistryError({ operation, cause })
    )
  )

/** A version of the same model, sealed with the same keys, that is there already. */
const findSame = Effect.fn("Publish.findSame")(function* (publication: Publication, options: PublishOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const name = canonicalModel(publication.name)
  const versions = registryPaths(options.directory, path).versions(name)
  const hash = sha256(publication.pickle)
  const signing = Option.getOrUndefined(options.keys.signing)
  const candidates = yield* listVersions(options.directory, name)
  return yield* Effect.findFirst(
    candidates.filter((version) => version.endsWith(hash.slice(0, 12))),
    (version) =>
      Effect.gen(function* () {
        const manifest = yield* readManifest(path.join(versions, version, manifestFile))
        const sealed = yield* fs.readFileString(path.join(versions, version, modelFile))
        const opened = openModel(sealed, options.keys.encryption, signing)
        return manifest.model_sha256 === hash && sha256(sealed) === manifest.sha256 && opened._tag === "Right"
      }).pipe(
        // A damaged version is no reason not to publish a whole one.
        Effect.catchAll((error) =>
          Effect.as(Effect.logWarning(`version ${version} of ${name} is damaged`, error), false)
        )
      )
  )
})

/**
 * Publishes a model that has passed its gate. Doing so again changes nothing, so that a publication that was cut off
 * can be repeated. Returns the version and whether it is new.
 */
export const publish = Effect.fn("Publish.publish")(function* (publication: Publication, options: PublishOptions) {
  const { directory, keep, keys } = options
  const name = canonicalModel(publication.name)
  const work = Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const versions = registryPaths(directory, path).versions(name)
    yield* fs.makeDirectory(versions, { recursive: true })

    const same = yield* findSame(publication, options)
    if (Option.isSome(same)) {
      const isCurrent = Option.contains(yield* currentVersion(directory, name), same.value)
      if (!isCurrent) yield* pointTo(directory, name, same.value)
      return { name, version: same.value, isNew: !isCurrent }
    }

    const nowMs = yield* Clock.currentTimeMillis
    const published = new Date(nowMs).toISOString()
    const hash = sha256(publication.pickle)
    const version = `${published.replace(/[-:.]/g, "")}-${hash.slice(0, 12)}`
    const about: { readonly [key: string]: PythonJson } = {
      filename: `${name}.pkl`,
      model: name,
      sha256: hash,
      size_original: publication.pickle.length,
      timestamp: nowMs / 1000,
      version
    }
    const sealed = sealModel(publication.pickle, about, keys, { iv: randomBytes(16), nowMs })
    const manifest: Schema.Schema.Encoded<typeof Manifest> = {
      format: 1,
      name,
      version,
      published,
      size_bytes: sealed.length,
      sha256: sha256(sealed),
      model_sha256: hash,
      signing_key_id: Option.getOrNull(Option.map(keys.signing, signingKeyId)),
      gate: publication.gate,
      metadata: publication.metadata,
      metrics: publication.metrics
    }
    const staged = path.join(versions, `.${version}`)
    yield* fs.remove(staged, { recursive: true, force: true })
    yield* fs.makeDirectory(staged)
    yield* writeSynced(path.join(staged, modelFile), sealed)
    if (publication.homes) {
      yield* writeSynced(path.join(staged, homesFile), `${JSON.stringify(publication.homes, null, 2)}\n`, 0o600)
    }
    yield* writeSynced(path.join(staged, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`)
    yield* syncDirectory(staged)
    yield* fs.rename(staged, path.join(versions, version))
    yield* syncDirectory(versions)
    yield* syncDirectory(path.dirname(versions))
    yield* pointTo(directory, name, version)
    return { name, version, isNew: true }
  }).pipe(Effect.tap(tidy(directory, name, keep)))
  return yield* inDirectory(`publish ${name}`, directory, work)
})

/** Makes an earlier version current again: the one given, or the last before the current one. Returns both. */
export const rollback = Effect.fn("Publish.rollback")(function* (
  directory: string,
  model: string,
  version: Option.Option<string>
) {
  const name = canonicalModel(model)
  const work = Effect.gen(function* () {
    const versions = yield* listVersions(directory, name)
    const current = yield* currentVersion(directory, name)
    const before = versions.find((one) => Option.isNone(current) || one < current.value)
    const target = Option.getOrElse(version, () => before)
    if (target === undefined || !versions.includes(target)) {
      const there = versions.length === 0 ? "none" : versions.join(", ")
      const message = `${name} has no ${target === undefined ? "earlier version" : `version ${target}`}; there are: ${there}`
      return yield* new VersionUnknown({ message })
    }
    yield* pointTo(directory, name, target)
    return { name, from: Option.getOrNull(current), to: target }
  })
  return yield* inDirectory(`roll ${name} back`, directory, work)
})
