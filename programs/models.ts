import { Command, Options } from "@effect/cli"
import { Path } from "@effect/platform"
import { Console, Effect, Option, Schema } from "effect"
import { currentVersion, rollback as rollBack } from "../src/artifact/Publish.js"
import {
  communityModel,
  listVersions,
  manifestFile,
  Registry,
  readManifest,
  registryPaths
} from "../src/artifact/Registry.js"
import { type AffectedModel, affectedModels } from "../src/artifact/TrainedHomes.js"
import { InstallationId } from "../src/domain/InstallationId.js"
import { checkedModel } from "./checkedModel.js"
import { dataDir } from "./dataDir.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { inBytes } from "./inBytes.js"
import { modelDirOf, modelDirToRead } from "./modelDirOf.js"
import { publishTrained } from "./publishTrained.js"

const noGate = Options.boolean("no-gate").pipe(
  Options.withDescription("Publish although the model was not evaluated, or fails a criterion")
)
const community = Options.boolean("community").pipe(
  Options.withDescription("Publish it as community_model too: for homes whose heat pump model has none of its own")
)

const line = (cells: ReadonlyArray<string>, widths: ReadonlyArray<number>) =>
  cells
    .map((cell, i) => cell.padEnd(widths[i]!))
    .join("  ")
    .trimEnd()

const json = Options.boolean("json").pipe(Options.withDescription("Print the manifests as JSON"))

const list = Command.make("list", { dataDir, json }, ({ dataDir, json }) =>
  Effect.gen(function* () {
    const directory = yield* modelDirToRead(dataDir)
    const path = yield* Path.Path
    const paths = registryPaths(directory, path)
    const registry = yield* Registry.pipe(Effect.provide(Registry.layer(directory)))
    const models = [...(yield* registry.list)].sort((a, b) => (a.name < b.name ? -1 : 1))
    const rows = yield* Effect.forEach(models, (model) =>
      Effect.gen(function* () {
        const current = yield* currentVersion(directory, model.name)
        const versions = yield* listVersions(directory, model.name)
        const manifests = yield* Effect.forEach(versions, (version) =>
          readManifest(path.join(paths.versions(model.name), version, manifestFile))
        )
        return { model, current: Option.getOrNull(current), manifests }
      })
    )
    if (json) {
      const all = rows.map(({ current, manifests, model }) => ({
        name: model.name,
        hash: model.sha256,
        current,
        versions: manifests
      }))
      return yield* Console.log(JSON.stringify(all, null, 2))
    }
    if (rows.length === 0)
      return yield* Console.log(`Nothing is published in ${directory} yet; see telemetry models publish`)
    const heading = ["", "Model", "Version", "Size", "Gate", "Signature"]
    const cells = rows.flatMap(({ current, manifests, model }) =>
      manifests.length === 0
        ? [["*", model.name, "(put there by hand)", inBytes(model.sizeBytes), "", ""]]
        : manifests.map((m) => [
            m.version === current ? "*" : " ",
            m.name,
            m.version,
            inBytes(m.size_bytes),
            m.gate,
            m.signing_key_id === null ? "unsigned" : `by ${m.signing_key_id}`
          ])
    )
    const widths = heading.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)))
    yield* Console.log([heading, ...cells].map((row) => line(row, widths)).join("\n"))
  })
).pipe(Command.withDescription("Show what is published; * marks what clients get"))

const publish = Command.make(
  "publish",
  {
    file: Options.text("file").pipe(
      Options.withAlias("f"),
      Options.withDescription("model.pkl, with its model_metadata.json and metrics.json beside it")
    ),
    model: Options.text("model").pipe(
      Options.withDescription("Heat pump model that it is for; what its metadata say by default"),
      Options.optional
    ),
    community,
    noGate,
    dataDir
  },
  (options) =>
    Effect.gen(function* () {
      const published = yield* publishTrained(options.file, {
        model: options.model,
        directory: yield* modelDirOf(options.dataDir),
        isGated: !options.noGate,
        asCommunity: options.community
      })
      const lines = published.map(
        ({ isNew, name, version }) => `${name}: ${isNew ? "published" : "already published"}, ${version}`
      )
      yield* Console.log(lines.join("\n"))
    }).pipe(
      Effect.catchTag("NotPublished", ({ message }) => new ProgramFailure({ code: ExitCode.notEnoughData, message }))
    )
).pipe(
  Command.withDescription(
    "Encrypt, sign and publish a trained model. Example: telemetry models publish --file models/AERO_SLM.pkl"
  )
)

const rollback = Command.make(
  "rollback",
  {
    model: Options.text("model").pipe(
      Options.withDescription("What is published: a heat pump model, or community_model")
    ),
    version: Options.text("version").pipe(
      Options.withDescription("Version to go to; the last before the current one by default"),
      Options.optional
    ),
    dataDir
  },
  ({ dataDir, model, version }) =>
    Effect.gen(function* () {
      const directory = yield* modelDirToRead(dataDir)
      yield* checkedModel("--model", model)
      const { from, name, to } = yield* rollBack(directory, model, version)
      yield* Console.log(`${name}: from ${from ?? "nothing"} to ${to}`)
      yield* Console.log(
        name === communityModel
          ? "The next nightly training that publishes replaces it with the model of the most installations"
          : "The next nightly training may publish a new version, if that passes the gate beside this one"
      )
    })
).pipe(
  Command.withDescription("Let clients have an earlier version. Example: telemetry models rollback --model AERO_SLM")
)

const affectedBy = Options.text("affected-by").pipe(
  Options.withDescription("List the models, published or not, that this installation was trained into"),
  Options.filterMap(
    Schema.decodeOption(InstallationId),
    "--affected-by must be the id of a home, a UUID such as 3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3; telemetry installations lists them"
  ),
  Options.optional
)

const affectedLine = ({ file, isCurrent, name, version }: AffectedModel): string =>
  `${isCurrent ? "*" : " "} ${name}  ${version ?? "not published"}  ${file}`

export const models = Command.make("models", { affectedBy, json, dataDir }, ({ affectedBy, dataDir, json }) =>
  Effect.gen(function* () {
    if (Option.isNone(affectedBy)) {
      return yield* new ProgramFailure({
        code: ExitCode.usage,
        message: "say which: models list, publish, rollback, or models --affected-by ID"
      })
    }
    const affected = yield* affectedModels(yield* modelDirToRead(dataDir), affectedBy.value)
    if (json) return yield* Console.log(JSON.stringify(affected, null, 2))
    yield* Console.log(
      affected.models.length === 0
        ? "No model in MODEL_DIR is known to be trained with the data of this installation"
        : affected.models.map(affectedLine).join("\n")
    )
    if (affected.unknown.length > 0)
      yield* Console.log(`Made without a list of homes, so it may be in them: ${affected.unknown.join(", ")}`)
  })
).pipe(
  Command.withDescription(
    "Published models: list, publish, rollback; or what a home was trained into: --affected-by ID"
  ),
  Command.withSubcommands([list, publish, rollback])
)
