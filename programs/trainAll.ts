import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Console, Cron, DateTime, Effect, MutableRef, Option } from "effect"
import { type LastTraining, writeLastTraining } from "../src/artifact/LastTraining.js"
import { tryLock } from "../src/artifact/ModelLock.js"
import { communityModel, Registry } from "../src/artifact/Registry.js"
import { canonicalModel } from "../src/domain/ModelName.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { knownModels } from "../src/training/FleetSample.js"
import { checkedModel } from "./checkedModel.js"
import { ExitCode, ProgramFailure, RunsUntilStopped } from "./ExitCode.js"
import { modelDirOf } from "./modelDirOf.js"
import { checkSource, openDataset } from "./openDataset.js"
import { publishTrained } from "./publishTrained.js"

type Result = LastTraining["models"][number]

interface RunOptions {
  readonly dataDir: string
  readonly publish: boolean
  readonly noGate: boolean
  readonly minInstallations: number
  readonly minPoints: number
  readonly seed: number
}

const mainFile = fileURLToPath(new URL("./main.js", import.meta.url))

/** What an interrupted child has to end by itself: it cleans up between two steps of a fit. */
const graceMs = 8_000

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The last line it wrote to stderr. */
  readonly said: string
}

/**
 * `telemetry train` in a process of its own: whatever becomes of it, memory included, the others are trained. Its
 * errors go where ours go, the last of them into the result too. Interrupted, it ends before this does.
 */
const trainInProcess = (args: ReadonlyArray<string>) =>
  Effect.async<Ended>((resume) => {
    const child = spawn(process.execPath, [mainFile, "train", ...args], { stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      process.stderr.write(text)
      said = (said + text).slice(-2_000)
    })
    const ended = new Promise<Ended>((resolve) => {
      child.once("error", (error) => resolve({ code: null, signal: null, said: error.message }))
      child.once("close", (code, signal) => resolve({ code, signal, said: said.trim().split("\n").at(-1) ?? "" }))
    })
    void ended.then((end) => resume(Effect.succeed(end)))
    return Effect.promise(() => {
      child.kill("SIGTERM")
      const lastResort = setTimeout(() => child.kill("SIGKILL"), graceMs)
      return ended.finally(() => clearTimeout(lastResort))
    })
  })

/** Why it failed: its own words, unless it had no time for any. */
const reasonOf = ({ code, said, signal }: Ended): string => {
  if (signal !== null) return `killed by ${signal}${signal === "SIGKILL" ? ", perhaps for want of memory" : ""}`
  return said === "" ? `ended with ${code}` : said
}

/** @param isLargest of the most installations: what homes get whose model has none of its own */
const trainOne = Effect.fn("trainAll.trainOne")(function* (model: string, isLargest: boolean, options: RunOptions) {
  const path = yield* Path.Path
  const directory = yield* modelDirOf(options.dataDir)
  const file = path.join(directory, "trained", canonicalModel(model), "model.pkl")
  const ended = yield* trainInProcess([
    ...["--model", model, "--output", file, "--data-dir", options.dataDir, "--quiet"],
    ...["--min-installations", String(options.minInstallations), "--min-points", String(options.minPoints)],
    ...["--seed", String(options.seed)],
    ...(options.noGate ? ["--no-gate"] : []),
    ...(options.publish ? ["--publish"] : [])
  ])
  if (ended.code === ExitCode.notEnoughData) return { result: "refused" as const, detail: reasonOf(ended) }
  if (ended.code !== 0) return { result: "failed" as const, detail: reasonOf(ended) }
  if (!options.publish) return { result: "trained" as const, detail: file }

  // The child has published it. To do so again changes nothing, and says as which version; the community's is left.
  const registry = yield* Registry.pipe(Effect.provide(Registry.layer(directory)))
  const [published] = yield* publishTrained(file, {
    model: Option.some(model),
    directory,
    isGated: !options.noGate,
    asCommunity: isLargest || Option.isNone(yield* registry.published(communityModel))
  })
  return { result: "published" as const, detail: published!.version }
})

const count = new Intl.NumberFormat("en")

/** `TARGET_MODELS`, or every model with enough installations, the largest first; and what to say if there is none. */
const targetsOf = Effect.fn("trainAll.targets")(function* ({ dataDir, minInstallations, minPoints }: RunOptions) {
  const { targetModels } = yield* Settings.nightly
  if (targetModels.length > 0) {
    return { targets: yield* Effect.forEach(targetModels, (name) => checkedModel("TARGET_MODELS", name)), missing: "" }
  }
  const dataset = yield* openDataset(Option.none(), dataDir)
  const known = (yield* dataset.models).filter(({ model }) => model !== communityModel)
  return {
    targets: known.filter(({ installations }) => installations >= minInstallations).map(({ model }) => model),
    missing: `no model has ${count.format(minInstallations)} installations and ${count.format(minPoints)} points yet; ${knownModels(known)}`
  }
}, Effect.scoped)

/** None when something was trained, or failed: then that is what to speak of. */
const whyNothing = (models: ReadonlyArray<Result>, missing: string): Option.Option<string> => {
  if (models.length === 0) return Option.some(missing)
  if (models.some(({ result }) => result !== "refused")) return Option.none()
  const refused = models.map(({ model }) => model).join(", ")
  return Option.some(`nothing new: of ${refused} there are not enough data, or the gate refused it, as said above`)
}

const runOnce = Effect.fn("trainAll.runOnce", { root: true })(function* (
  options: RunOptions,
  nextMs: number | undefined
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* checkSource(Option.none(), options.dataDir)
  const directory = yield* modelDirOf(options.dataDir)
  yield* fs.makeDirectory(directory, { recursive: true })
  yield* tryLock(path.join(directory, ".training.lock"))
  const started = (yield* Clock.currentTimeMillis) / 1000
  const next = nextMs === undefined ? null : nextMs / 1000
  const models: Array<Result> = []
  const report = (finished: number | null) => writeLastTraining(directory, { started, finished, next, models })
  yield* report(null)
  const { missing, targets } = yield* targetsOf(options)
  for (const [i, model] of targets.entries()) {
    const beganMs = yield* Clock.currentTimeMillis
    const outcome = yield* trainOne(model, i === 0, options).pipe(
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logError(`training of ${model} failed; the others go on`, cause), {
          result: "failed" as const,
          detail: "see the log"
        })
      )
    )
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - beganMs) / 1000)
    models.push({ model: canonicalModel(model), ...outcome, seconds })
    yield* Console.log(`${canonicalModel(model)}: ${outcome.result}, ${outcome.detail}`)
    yield* report(null)
  }
  yield* report((yield* Clock.currentTimeMillis) / 1000)
  return { models, nothing: whyNothing(models, missing) }
}, Effect.scoped)

/** `HH:MM` in the time zone of the process, which `TZ` sets. */
const cronOf = (time: string) => {
  const match = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(time)
  if (match === null)
    return new SettingInvalid({ setting: "--every-day-at", reason: "must be a time of day like 03:00" })
  return Effect.succeed(
    Cron.make({
      hours: [Number(match[1])],
      minutes: [Number(match[2])],
      days: [],
      months: [],
      weekdays: [],
      tz: DateTime.zoneMakeLocal()
    })
  )
}

/** In steps, because a machine that slept does not know how long. */
const sleepUntil = (atMs: number) =>
  Effect.repeat(
    Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
      Effect.as(Effect.sleep(Math.max(0, Math.min(60_000, atMs - nowMs))), nowMs >= atMs)
    ),
    { until: (isOver) => isOver }
  )

/** `telemetry train --all`: once, or every day for ever. */
export const trainAll = Effect.fn("trainAll")(function* (options: RunOptions & { readonly everyDayAt: string }) {
  if (options.everyDayAt === "") {
    const { models, nothing } = yield* runOnce(options, undefined)
    if (Option.isSome(nothing)) {
      return yield* new ProgramFailure({ code: ExitCode.notEnoughData, message: nothing.value })
    }
    const failed = models.filter(({ result }) => result === "failed")
    const message = `${failed.map(({ model }) => model).join(", ")} could not be trained; the log says why`
    return failed.length === 0 ? undefined : yield* new ProgramFailure({ code: ExitCode.failed, message })
  }
  const cron = yield* cronOf(options.everyDayAt)
  MutableRef.set(yield* RunsUntilStopped, true)
  const { runOnStartup } = yield* Settings.nightly
  const run = (nextMs: number) =>
    runOnce(options, nextMs).pipe(
      Effect.flatMap(({ nothing }) => (Option.isSome(nothing) ? Effect.logInfo(nothing.value) : Effect.void)),
      Effect.catchAllCause((cause) => Effect.logError("tonight's training failed; the next one comes tomorrow", cause))
    )
  const nextAfter = (nowMs: number) => Cron.next(cron, new Date(nowMs)).getTime()
  if (runOnStartup) yield* run(nextAfter(yield* Clock.currentTimeMillis))
  while (true) {
    const atMs = nextAfter(yield* Clock.currentTimeMillis)
    yield* Effect.logInfo("waiting for the next training; to train at once, run it with TRAINING_TIME empty", {
      at: new Date(atMs).toISOString()
    })
    yield* sleepUntil(atMs)
    yield* run(nextAfter(yield* Clock.currentTimeMillis))
  }
})
