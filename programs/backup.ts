import { lstatSync, readdirSync, readlinkSync, statfsSync, statSync } from "node:fs"
import { Command, Options } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Console, Effect } from "effect"
import { type ArchiveEntry, writeArchive } from "../src/store/Archive.js"
import { snapshot } from "../src/store/Snapshot.js"
import { attempt } from "./attempt.js"
import { dataDir } from "./dataDir.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { inBytes } from "./inBytes.js"
import { modelDirOf } from "./modelDirOf.js"
import { version } from "./version.js"

const output = Options.file("output").pipe(
  Options.withAlias("o"),
  Options.withDescription("The backup to write; holds homes' data, so keep it as safe as the server")
)
const yes = Options.boolean("yes").pipe(Options.withDescription("Overwrite the file if it is there"))

const failure = (message: string) => new ProgramFailure({ code: ExitCode.failed, message })

/** Files and links below a directory; what is being written has a name that begins with a point. */
const entriesOf = (directory: string, name: string): ReadonlyArray<ArchiveEntry> =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry): ReadonlyArray<ArchiveEntry> => {
    const file = `${directory}/${entry.name}`
    if (entry.name.startsWith(".")) return []
    if (entry.isDirectory()) return entriesOf(file, `${name}/${entry.name}`)
    if (entry.isSymbolicLink()) return [{ name: `${name}/${entry.name}`, link: readlinkSync(file) }]
    return entry.isFile() ? [{ name: `${name}/${entry.name}`, file }] : []
  })

const asServeDoes = "run it as the user that runs serve, and check DATA_DIR and MODEL_DIR"

const isThere = (file: string) =>
  attempt(`look for ${file}`, () => lstatSync(file, { throwIfNoEntry: false }) !== undefined, asServeDoes)

export const backup = Command.make("backup", { output, yes, dataDir }, ({ dataDir, output, yes }) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const store = path.join(dataDir, "telemetry.sqlite")
    const modelDir = yield* modelDirOf(dataDir)
    if ((yield* isThere(output)) && !yes) {
      const message = `${output} is there already; overwrite it with --yes`
      return yield* new ProgramFailure({ code: ExitCode.usage, message })
    }
    if (!(yield* isThere(store))) return yield* failure(`there is no store in ${dataDir}; see --data-dir (DATA_DIR)`)
    const directory = path.dirname(path.resolve(output))
    const { bavail, bsize } = yield* Effect.try({
      try: () => statfsSync(directory),
      catch: () => failure(`${directory} cannot be written to`)
    })
    const storeBytes = yield* attempt(
      `measure ${store}`,
      () => statSync(store).size + (statSync(`${store}-wal`, { throwIfNoEntry: false })?.size ?? 0),
      asServeDoes
    )
    // A snapshot first, and the archive of it.
    const needed = 2 * storeBytes
    if (bavail * bsize < needed) {
      return yield* failure(`${directory} has ${inBytes(bavail * bsize)} free, and up to ${inBytes(needed)} are needed`)
    }
    const staging = yield* fs.makeTempDirectoryScoped({ directory, prefix: ".telemetry-backup-" })
    const copied = path.join(staging, "telemetry.sqlite")
    yield* snapshot(store, copied)
    // After it, so that an erasure which the copy has missed is in the list.
    const besides = yield* Effect.filter(["auth-token", "erasures.txt"], (name) => isThere(path.join(dataDir, name)))
    const models = (yield* isThere(modelDir))
      ? yield* attempt(`read the models in ${modelDir}`, () => entriesOf(modelDir, "models"), asServeDoes)
      : []
    const entries: ReadonlyArray<ArchiveEntry> = [
      { name: "data/telemetry.sqlite", file: copied },
      ...besides.map((name) => ({ name: `data/${name}`, file: path.join(dataDir, name) })),
      ...models
    ]
    const created = new Date(yield* Clock.currentTimeMillis).toISOString()
    const manifest = { format: 1, version, created, names: entries.map(({ name }) => name) }
    const bytes = yield* writeArchive(output, [
      { name: "manifest.json", content: `${JSON.stringify(manifest, null, 2)}\n` },
      ...entries
    ])
    yield* Console.log(`${output}: ${entries.length} files, ${inBytes(bytes)}`)
  }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Write the store or journal, the models and the list of erasures into one file, also while serve is running. Example: telemetry backup --output telemetry.tar"
  )
)
