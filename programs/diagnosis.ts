/** What can be wrong with an installation, each with its remedy. Nothing here changes anything. */
import { lstatSync, statfsSync, statSync } from "node:fs"
import { FileSystem, HttpClient, HttpClientRequest, Path } from "@effect/platform"
import { Clock, Config, Context, Duration, Effect, Either, Layer, Option, Redacted } from "effect"
import { serverTokens } from "../src/AccessTokens.js"
import * as Settings from "../src/Settings.js"
import { databaseFacts } from "../src/store/DatabaseFlags.js"
import { authorize, VictoriaMetrics } from "../src/store/VictoriaMetrics.js"
import { victoriaMetricsUrls } from "../src/store/VictoriaMetricsUrls.js"
import { sentenceOf } from "./ExitCode.js"
import { layerDatabase, readCredentials } from "./store.js"

export interface Finding {
  readonly check: string
  readonly state: "ok" | "warning" | "problem"
  readonly finding: string
  /** What to do; null when nothing is to be done. */
  readonly remedy: string | null
}

const ok = (check: string, finding: string): Finding => ({ check, state: "ok", finding, remedy: null })
const warning = (check: string, finding: string, remedy: string): Finding => ({
  check,
  state: "warning",
  finding,
  remedy
})
const problem = (check: string, finding: string, remedy: string): Finding => ({
  check,
  state: "problem",
  finding,
  remedy
})

const readSettings = Config.all({
  host: Settings.host,
  port: Settings.port,
  modelDir: Settings.modelDir,
  limits: Settings.limits,
  victoriaMetrics: Settings.victoriaMetrics,
  connections: Settings.connections,
  trustedProxies: Settings.trustedProxies
})
type Read = Config.Config.Success<typeof readSettings>

const loopback = /^(127\.|::1$|localhost$)/
/** Of a token that somebody made up, not a random one of 32 bytes in base64. */
const goodTokenLength = 32
/** Older ones leave out a bad line in silence. */
const oldestGoodVersion = [1, 105] as const
const longestClockDifferenceSeconds = 30
/** 2025: a clock before it was never set. */
const earliestMs = 1_735_689_600_000

const kindOf = (file: string) => lstatSync(file, { throwIfNoEntry: false })
const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, "0")

const checkDirectory = Effect.fn("diagnosis.directory")(function* (dataDir: string) {
  const check = "data directory"
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const info = kindOf(dataDir)
  if (info === undefined) return [warning(check, `${dataDir} is not there yet`, "serve makes it at its first start")]
  const writable = yield* Effect.either(fs.access(dataDir, { writable: true }))
  if (Either.isLeft(writable)) {
    return [
      problem(check, `${dataDir} cannot be written to`, `give it to the user that runs serve: chown -R USER ${dataDir}`)
    ]
  }
  const open = [dataDir, path.join(dataDir, "telemetry.sqlite"), path.join(dataDir, "auth-token")].filter((file) => {
    const { mode = 0 } = kindOf(file) ?? {}
    return (mode & 0o077) !== 0
  })
  if (open.length === 0) return [ok(check, `${dataDir} is writable, and closed to others`)]
  return open.map((file) =>
    warning(
      check,
      `${file} is open to others (${octal(statSync(file).mode)})`,
      `chmod ${file === dataDir ? "0700" : "0600"} ${file}`
    )
  )
})

/** `serve` reads it, training and publishing write to it. */
const checkModels = Effect.fn("diagnosis.models")(function* (dataDir: string, { modelDir }: Read) {
  const check = "models"
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = modelDir || path.join(dataDir, "models")
  if (kindOf(directory) === undefined) return ok(check, `${directory} is made by the first training`)
  const usable = yield* Effect.either(fs.access(directory, { readable: true, writable: true }))
  return Either.isLeft(usable)
    ? problem(
        check,
        `${directory} cannot be read and written`,
        `give it to the user that runs serve and train: chown -R USER ${directory}`
      )
    : ok(check, `${directory} can be read and written`)
})

const checkDisk = (dataDir: string, { limits }: Read): Finding => {
  const check = "disk"
  if (kindOf(dataDir) === undefined) return ok(check, "asked once DATA_DIR is there")
  const { bavail, bsize } = statfsSync(dataDir)
  const gigabytes = `${((bavail * bsize) / 1e9).toFixed(1)} GB free`
  if (bavail * bsize < limits.minFreeDiskBytes) {
    return problem(check, `${gigabytes}: submissions are refused`, "make room, or lower MIN_FREE_DISK_BYTES")
  }
  return bavail * bsize < 4 * limits.minFreeDiskBytes
    ? warning(check, `${gigabytes}, near MIN_FREE_DISK_BYTES`, "enlarge the disk or lower RETENTION_DAYS")
    : ok(check, gigabytes)
}

const checkTokens = Effect.fn("diagnosis.tokens")(function* (dataDir: string, { host }: Read) {
  const check = "tokens"
  const path = yield* Path.Path
  const [value, file] = yield* Effect.all([
    Config.option(Config.string(Settings.authToken)),
    Config.option(Config.string(`${Settings.authToken}_FILE`))
  ])
  const isConfigured = Option.isSome(value) || Option.isSome(file)
  const isMadeLater = !isConfigured && kindOf(path.join(dataDir, "auth-token")) === undefined
  // Would make one.
  if (isMadeLater) return [ok(check, "serve makes one at its first start")]
  const read = yield* Effect.either(serverTokens(dataDir))
  if (Either.isLeft(read)) return [problem(check, read.left.message, "make one with: openssl rand -base64 32")]
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

const isOld = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major < oldestGoodVersion[0] || (major === oldestGoodVersion[0] && minor < oldestGoodVersion[1])
}

/** With its credentials, and where queries go: of a cluster, that is another program than the one that takes writes. */
const askDatabase = (settings: Read["victoriaMetrics"]) =>
  layerDatabase(settings).pipe(
    Effect.flatMap(Layer.build),
    Effect.flatMap((context) =>
      Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
        Context.get(context, VictoriaMetrics).query("vector(1)", nowMs)
      )
    ),
    Effect.scoped,
    Effect.either
  )

const checkDatabase = Effect.fn("diagnosis.database")(function* ({ limits, victoriaMetrics }: Read) {
  const check = "database"
  if (victoriaMetrics.writeUrl === "") return { findings: [ok(check, "the embedded store")], clockMs: undefined }
  const urls = victoriaMetricsUrls({
    write: victoriaMetrics.writeUrl,
    query: victoriaMetrics.queryUrl || undefined,
    export: victoriaMetrics.exportUrl || undefined
  })
  if (Either.isLeft(urls)) {
    const { reason, setting } = urls.left
    return { findings: [problem(check, `${setting} ${reason}`, `correct ${setting}`)], clockMs: undefined }
  }
  const credentials = yield* Effect.either(readCredentials(victoriaMetrics.username))
  if (Either.isLeft(credentials)) {
    const finding = sentenceOf(credentials.left) ?? "its credentials cannot be read"
    return { findings: [problem(check, finding, "correct it; the README lists every setting")], clockMs: undefined }
  }
  const client = yield* HttpClient.HttpClient
  const request = authorize({ urls: urls.right, ...credentials.right })(HttpClientRequest.get(urls.right.metrics))
  const answer = yield* client.execute(request).pipe(
    Effect.flatMap((response) => Effect.map(response.text, (text) => ({ response, text }))),
    Effect.timeout("5 seconds"),
    Effect.either
  )
  if (Either.isLeft(answer)) {
    const remedy = "start it, and check VM_WRITE_URL; until then submissions wait in the journal"
    return { findings: [problem(check, "it does not answer", remedy)], clockMs: undefined }
  }
  const { response, text } = answer.right
  const clock = Date.parse(response.headers.date ?? "")
  const clockMs = Number.isNaN(clock) ? undefined : clock
  const findings: Array<Finding> = []
  const asked = yield* askDatabase(victoriaMetrics)
  if (Either.isLeft(asked)) {
    const remedy = "check VM_QUERY_URL, VM_USERNAME and VM_PASSWORD, or VM_BEARER_TOKEN"
    findings.push(problem(check, asked.left.message, remedy))
  }
  if (response.status !== 200) {
    const remedy = "let the collector read /metrics beside VM_WRITE_URL; it tells of restarts"
    return { findings: [...findings, warning(check, `its /metrics answers ${response.status}`, remedy)], clockMs }
  }
  const { removesDuplicates, retentionDays, version } = databaseFacts(text)
  if (version !== undefined && isOld(version)) {
    findings.push(
      warning(check, `it is release ${version}`, "use 1.105 or newer: older ones leave out bad lines in silence")
    )
  }
  if (removesDuplicates === false) {
    findings.push(warning(check, "it keeps samples that are sent twice", "start it with -dedup.minScrapeInterval=1ms"))
  }
  const days = Math.round(Duration.toDays(limits.retention))
  if (retentionDays !== undefined && retentionDays < days) {
    findings.push(
      problem(
        check,
        `it drops what is older than ${Math.round(retentionDays)} days, and RETENTION_DAYS is ${days}: acknowledged records are lost`,
        "start it with a longer -retentionPeriod, or lower RETENTION_DAYS"
      )
    )
  }
  return {
    findings:
      findings.length > 0
        ? findings
        : [ok(check, `VictoriaMetrics ${version ?? "of a release that it does not name"}`)],
    clockMs
  }
})

export const diagnose = Effect.fn("diagnosis.diagnose")(function* (dataDir: string) {
  const read = yield* Effect.either(readSettings)
  if (Either.isLeft(read)) {
    const finding = String(read.left).replace(/^\((.*)\)$/s, "$1")
    return [problem("settings", finding, "correct it; the README lists every setting")]
  }
  const { clockMs, findings } = yield* checkDatabase(read.right)
  const nowMs = yield* Clock.currentTimeMillis
  return [
    ok("settings", "all can be read"),
    ...(yield* checkDirectory(dataDir)),
    yield* checkModels(dataDir, read.right),
    checkDisk(dataDir, read.right),
    ...(yield* checkTokens(dataDir, read.right)),
    checkProxy(read.right),
    ...findings,
    checkClock(nowMs, clockMs)
  ]
})
