import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { Command, Options } from "@effect/cli"
import { FileSystem, Path } from "@effect/platform"
import { Console, Effect } from "effect"
import { extractArchive, readManifest, verifyArchive } from "../src/store/Archive.js"
import { checkUnused, verifySnapshot } from "../src/store/Snapshot.js"
import { attempt } from "./attempt.js"
import { dataDir } from "./dataDir.js"
import { ExitCode, ProgramFailure } from "./ExitCode.js"
import { modelDirOf } from "./modelDirOf.js"

const input = Options.file("input", { exists: "yes" }).pipe(
  Options.withAlias("i"),
  Options.withDescription("The backup to restore")
)
const yes = Options.boolean("yes").pipe(Options.withDescription("Replace what is in DATA_DIR and MODEL_DIR"))

const failure = (message: string) => new ProgramFailure({ code: ExitCode.failed, message })

/** A home that was erased after the backup stays erased: lines of both lists, which must have one salt. */
const mergeErasures = (restored: string, current: string): string | undefined => {
  const [salt, ...lines] = current.split("\n").filter((line) => line !== "")
  const [restoredSalt, ...restoredLines] = restored.split("\n").filter((line) => line !== "")
  if (salt !== restoredSalt) return undefined
  return `${[salt, ...new Set([...restoredLines, ...lines])].join("\n")}\n`
}

/** Also to another file system, where MODEL_DIR may be: beside the target first. */
const moveFile = (from: string, target: string): void => {
  const beside = `${target}.restoring`
  cpSync(from, beside, { force: true, verbatimSymlinks: true })
  renameSync(beside, target)
}

/** What lies beside a store and belongs to it alone. */
const companions = ["-wal", "-shm", "-journal", ".suspect", ".salvaging", ".salvaged"]

export const restore = Command.make("restore", { input, yes, dataDir }, ({ dataDir, input, yes }) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const modelDir = yield* modelDirOf(dataDir)
    const store = path.join(dataDir, "telemetry.sqlite")
    const erasures = path.join(dataDir, "erasures.txt")
    yield* verifyArchive(input)
    yield* attempt(`make ${dataDir}`, () => mkdirSync(dataDir, { recursive: true, mode: 0o700 }))
    yield* checkUnused(store)

    const staging = yield* fs.makeTempDirectoryScoped({ directory: dataDir, prefix: ".restoring-" })
    const names = yield* extractArchive(input, staging)
    const manifest = yield* readManifest(path.join(staging, "manifest.json"))
    const missing = manifest.names.filter((name) => !names.includes(name))
    if (missing.length > 0) return yield* failure(`${input} lacks ${missing.join(", ")}`)
    yield* verifySnapshot(path.join(staging, "data", "telemetry.sqlite"))

    const targetOf = (name: string): string =>
      name.startsWith("models/") ? path.join(modelDir, name.slice(7)) : path.join(dataDir, name.slice(5))
    const there = yield* attempt(
      "see what would be replaced",
      () => manifest.names.filter((name) => lstatSync(targetOf(name), { throwIfNoEntry: false }) !== undefined),
      "run it as the user that runs serve, and check DATA_DIR and MODEL_DIR"
    )
    if (there.length > 0 && !yes) {
      const message = `${there.map(targetOf).join(", ")} would be replaced; if that is meant, add --yes; to try the backup out, name a new --data-dir and set MODEL_DIR to nothing`
      return yield* new ProgramFailure({ code: ExitCode.usage, message })
    }
    if (existsSync(erasures)) {
      const staged = path.join(staging, "data", "erasures.txt")
      const [current, restored] = yield* attempt("read the lists of erasures", () => {
        const current = readFileSync(erasures, "utf8")
        return [current, existsSync(staged) ? readFileSync(staged, "utf8") : current] as const
      })
      const merged = mergeErasures(restored, current)
      if (merged === undefined) {
        return yield* failure(
          `${erasures} and the backup's list are of two different beginnings, and homes erased since would come back; move the file away only if nobody was erased since`
        )
      }
      yield* attempt("merge the lists of erasures", () => writeFileSync(staged, merged, { mode: 0o600 }))
    }
    const toPlace = new Set([...manifest.names, ...(existsSync(erasures) ? ["data/erasures.txt"] : [])])
    yield* attempt("put the files in their places", () => {
      // Before the new file comes: SQLite would take the old one's log for its own.
      for (const suffix of companions) rmSync(store + suffix, { force: true })
      // The store comes last, so that there is none whose erasures are not known yet.
      const storeLast = (name: string) => (name === "data/telemetry.sqlite" ? 1 : 0)
      for (const name of [...toPlace].sort((a, b) => storeLast(a) - storeLast(b))) {
        const target = targetOf(name)
        mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 })
        const from = path.join(staging, name)
        if (name.startsWith("models/") && !lstatSync(from).isSymbolicLink()) {
          chmodSync(from, name.endsWith("homes.json") ? 0o600 : 0o644)
        }
        if (name.startsWith("data/")) renameSync(from, target)
        else moveFile(from, target)
      }
      const directory = openSync(dataDir, "r")
      fsyncSync(directory)
      closeSync(directory)
    }).pipe(Effect.uninterruptible)
    const hasModels = manifest.names.some((name) => name.startsWith("models/"))
    yield* Console.log(
      [
        `restored ${manifest.names.length} files of ${manifest.created} (release ${manifest.version}) to ${dataDir}${hasModels ? `, models to ${modelDir}` : ""}`,
        `Now start the server on it: telemetry serve --data-dir ${dataDir}`
      ].join("\n")
    )
  }).pipe(Effect.scoped)
).pipe(
  Command.withDescription(
    "Put a backup back, once all of it is proved intact; stop serve first. Example: telemetry restore --input telemetry.tar"
  )
)
