/** What can be wrong with an installation, each with its remedy. Nothing here changes anything. */
import { statfsSync, statSync } from "node:fs"
import { FileSystem, Path } from "@effect/platform"
import { Clock, Config, Data, Effect, Either, Option, Redacted } from "effect"
import { serverTokens } from "../src/AccessTokens.js"
import { SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { checkDatabase } from "./checkDatabase.js"
import { sentenceOf } from "./ExitCode.js"
import { type Finding, ok, problem, warning } from "./Finding.js"
import { modelDirOf } from "./modelDirOf.js"

const readSettings = Config.all({
  host: Settings.host,
  port: Settings.port,
  limits: Settings.limits,
  victoriaMetrics: Settings.victoriaMetrics,
  connections: Settings.connections,
  trustedProxies: Settings.trustedProxies
})
type Read = Config.Config.Success<typeof readSettings>

const loopback = /^(127\.|::1$|localhost$)/
/** Of a token that somebody made up, not a random one of 32 bytes in base64. */
const goodTokenLength = 32
const longestClockDifferenceSeconds = 30
/** 2025: a clock before it was never set. */
const earliestMs = 1_735_689_600_000

/** Neither there nor known not to be: a directory on the way is closed, or is none. */
class Unseen extends Data.TaggedError("Unseen")<{ readonly file: string; readonly cause: unknown }> {}

const see = <A>(file: string, look: () => A) => Effect.try({ try: look, catch: (cause) => new Unseen({ file, cause }) })
/** Of what lies there, links followed; undefined where nothing does. */
const statOf = (file: string) => see(file, () => statSync(file, { throwIfNoEntry: false }))

/** A check that comes to nothing because it cannot see what it asks for. */
const orUnseen = <E, R>(check: string, findings: Effect.Effect<ReadonlyArray<Finding>, E | Unseen, R>) =>
  Effect.catchIf(
    findings,
    (error): error is Unseen => error instanceof Unseen,
    ({ cause, file }) => {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const finding = `${file} cannot be looked at: ${reason}`
      return Effect.succeed([problem(check, finding, "ask as the user that runs serve; check DATA_DIR and MODEL_DIR")])
    }
  )

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, "0")

const checkDirectory = Effect.fn("diagnosis.directory")(function* (dataDir: string) {
  const check = "data directory"
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  if ((yield* statOf(dataDir)) === undefined)
    return [
      warning(
        check,
        `${dataDir} is not there yet`,
        "serve makes it at its first start; if it should be there, see --data-dir (DATA_DIR)"
      )
    ]
  const writable = yield* Effect.either(fs.access(dataDir, { writable: true }))
  if (Either.isLeft(writable)) {
    return [
      problem(check, `${dataDir} cannot be written to`, `give it to the user that runs serve: chown -R USER ${dataDir}`)
    ]
  }
  const files = [dataDir, path.join(dataDir, "telemetry.sqlite"), path.join(dataDir, "auth-token")]
  const modes = yield* Effect.forEach(files, (file) => Effect.map(statOf(file), (info) => info?.mode ?? 0))
  const findings = files.flatMap((file, i) =>
    (modes[i]! & 0o077) === 0
      ? []
      : warning(
          check,
          `${file} is open to others (${octal(modes[i]!)})`,
          `chmod ${file === dataDir ? "0700" : "0600"} ${file}`
        )
  )
  return findings.length > 0 ? findings : [ok(check, `${dataDir} is writable, and closed to others`)]
})

/** `serve` reads it, training and publishing write to it. */
const checkModels = Effect.fn("diagnosis.models")(function* (directory: string) {
  const check = "models"
  const fs = yield* FileSystem.FileSystem
  if ((yield* statOf(directory)) === undefined) return [ok(check, `${directory} is made by the first training`)]
  const usable = yield* Effect.either(fs.access(directory, { readable: true, writable: true }))
  return [
    Either.isLeft(usable)
      ? problem(
          check,
          `${directory} cannot be read and written`,
          `give it to the user that runs serve and train: chown -R USER ${directory}`
        )
      : ok(check, `${directory} can be read and written`)
  ]
})

const checkDisk = Effect.fn("diagnosis.disk")(function* (dataDir: string, { limits }: Read) {
  const check = "disk"
  if ((yield* statOf(dataDir)) === undefined) return [ok(check, "asked once DATA_DIR is there")]
  const { bavail, bsize } = yield* see(dataDir, () => statfsSync(dataDir))
  const gigabytes = `${((bavail * bsize) / 1e9).toFixed(1)} GB free`
  if (bavail * bsize < limits.minFreeDiskBytes) {
    return [problem(check, `${gigabytes}: submissions are refused`, "make room, or lower MIN_FREE_DISK_BYTES")]
  }
  return [
    bavail * bsize < 4 * limits.minFreeDiskBytes
      ? warning(check, `${gigabytes}, near MIN_FREE_DISK_BYTES`, "enlarge the disk or lower RETENTION_DAYS")
      : ok(check, gigabytes)
  ]
})

const checkTokens = Effect.fn("diagnosis.tokens")(function* (dataDir: string, { host }: Read) {
  const check = "tokens"
  const path = yield* Path.Path
  const [value, file] = yield* Effect.all([
    Config.option(Config.string(Settings.authToken)),
    Config.option(Config.string(`${Settings.authToken}_FILE`))
  ])
  const isConfigured = Option.isSome(value) || Option.isSome(file)
  const isMadeLater = !isConfigured && (yield* statOf(path.join(dataDir, "auth-token"))) === undefined
  // Would make one.
  if (isMadeLater) return [ok(check, "serve makes one at its first start")]
  const read = yield* Effect.either(serverTokens(dataDir))
  if (Either.isLeft(read)) {
    const remedy =
      read.left instanceof SettingInvalid
        ? "make one with: openssl rand -base64 32"
        : `ask as the user that runs serve, or give it the file: chown USER ${dataDir}/auth-token`
    return [problem(check, read.left.message, remedy)]
  }
  const { admin, logger } = read.right
  const texts = [...admin, ...logger].map(Redacted.value)
  const findings: Array<Finding> = []
  const weak = texts.filter((text) => text.length < goodTokenLength || new Set(text).size < 10).length
  if (weak > 0) {
    findings.push(warning(check, `${weak} can be guessed: short, or of few characters`, "openssl rand -base64 32"))
  }
  if (admin.some((one) => logger.some((other) => Redacted.value(one) === Redacted.value(other)))) {
    findings.push(problem(check, "a logger's token is an operator's too", "make an ADMIN_TOKEN of its own"))
  }
  if (admin.length === 0 && !loopback.test(host)) {
    findings.push(
      warning(check, "no ADMIN_TOKEN: status and metrics answer this machine alone", "set one to ask from elsewhere")
    )
  }
  return findings.length > 0 ? findings : [ok(check, `${logger.length} for loggers, ${admin.length} for operators`)]
})

const checkProxy = ({ host, trustedProxies }: Read): Finding => {
  const check = "proxy"
  if (trustedProxies.length > 0) {
    const networks = trustedProxies.map(({ address, prefix }) => `${address}/${prefix}`).join(", ")
    return trustedProxies.some(({ prefix }) => prefix === 0)
      ? problem(check, "TRUSTED_PROXIES believes everybody", "name the proxy's address or network alone")
      : ok(check, `requests through ${networks} are counted by their client`)
  }
  return loopback.test(host)
    ? ok(check, "listening on this machine alone")
    : warning(
        check,
        `listening on ${host} without a trusted proxy: tokens travel without HTTPS unless one stands in front`,
        "put a proxy with HTTPS in front, bind to 127.0.0.1, and name the proxy in TRUSTED_PROXIES"
      )
}

const checkClock = (nowMs: number, databaseMs: number | undefined): Finding => {
  const check = "clock"
  const remedy = "set it by NTP: timedatectl set-ntp true"
  if (nowMs < earliestMs)
    return problem(check, `it says ${new Date(nowMs).toISOString()}: every record lies in the future`, remedy)
  const difference = databaseMs === undefined ? 0 : Math.abs(nowMs - databaseMs) / 1000
  return difference > longestClockDifferenceSeconds
    ? problem(check, `it differs by ${Math.round(difference)} s from the database's`, remedy)
    : ok(check, new Date(nowMs).toISOString())
}

export const diagnose = Effect.fn("diagnosis.diagnose")(function* (dataDir: string) {
  const read = yield* Effect.either(Effect.all([readSettings, modelDirOf(dataDir)]))
  if (Either.isLeft(read)) {
    const finding = sentenceOf(read.left) ?? "they cannot be read"
    return [problem("settings", finding, "correct it; the README lists every setting")]
  }
  const [settings, modelDir] = read.right
  const { clockMs, findings } = yield* checkDatabase(settings.victoriaMetrics, settings.limits.retention)
  const nowMs = yield* Clock.currentTimeMillis
  return [
    ok("settings", "all can be read"),
    ...(yield* orUnseen("data directory", checkDirectory(dataDir))),
    ...(yield* orUnseen("models", checkModels(modelDir))),
    ...(yield* orUnseen("disk", checkDisk(dataDir, settings))),
    ...(yield* orUnseen("tokens", checkTokens(dataDir, settings))),
    checkProxy(settings),
    ...findings,
    checkClock(nowMs, clockMs)
  ]
})
