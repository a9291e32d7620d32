import { lstatSync, readdirSync, readlinkSync, statfsSync, statSync } from "node:fs"
import { Command, Options } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Console, Effect } from "effect"
import * as Settings from "../src/Settings.js"
import { type ArchiveEntry, writeArchive } from "../src/store/Archive.js"
import { snapshot } from "../src/store/Snapshot.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { dataDir } from "./serve.js"
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

const isThere = (file: string): boolean => lstatSync(file, { throwIfNoEntry: false }) !== undefined

export const backup = Command.make("backup", { output, yes, dataDir }, ({ dataDir, output, yes }) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const store = path.join(dataDir, "telemetry.sqlite")
    const modelDir = (yield* Settings.modelDir) || path.join(dataDir, "models")
    if (isThere(output) && !yes) return yield* failure(`${output} is there already; overwrite it with --yes`)
    if (!isThere(store)) return yield* failure(`there is no store in ${dataDir}; see --data-dir`)
    const directory = path.dirname(path.resolve(output))
    const { bavail, bsize } = yield* Effect.try({
      try: () => statfsSync(directory),
      catch: () => failure(`${directory} cannot be written to`)
    })
    // A snapshot first, and the archive of it.
    const needed = 2 * (statSync(store).size + (statSync(`${store}-wal`, { throwIfNoEntry: false })?.size ?? 0))
    if (bavail * bsize < needed) {
      return yield* failure(`${directory} has ${bavail * bsize} bytes free, and up to ${needed} are needed`)
    }
    const staging = yield* fs.makeTempDirectoryScoped({ directory, prefix: ".telemetry-backup-" })
    const copied = path.join(staging, "telemetry.sqlite")
    yield* snapshot(store, copied)
    const besides = ["auth-token", "erasures.txt"]
      .filter((name) => isThere(path.join(dataDir, name)))
      .map((name): ArchiveEntry => ({ name: `data/${name}`, file: path.join(dataDir, name) }))
    const entries: ReadonlyArray<ArchiveEntry> = [
      { name: "data/telemetry.sqlite", file: copied },
      ...besides,
      ...(isThere(modelDir) ? entriesOf(modelDir, "models") : [])
    ]
    const created = new Date(yield* Clock.currentTimeMillis).toISOString()
    const manifest = { format: 1, version, created, names: entries.map(({ name }) => name) }
    const bytes = yield* writeArchive(output, [
      { name: "manifest.json", content: `${JSON.stringify(manifest, null, 2)}\n` },
      ...entries
    ])
    yield* Console.log(`${output}: ${entries.length} files, ${bytes} bytes`)
  }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Write the store or journal, the models and the list of erasures into one file, also while serve is running. Example: telemetry backup --output telemetry.tar"
  )
)
