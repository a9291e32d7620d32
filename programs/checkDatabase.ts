import { HttpClient, HttpClientRequest } from "@effect/platform"
import { Clock, type Config, Context, Duration, Effect, Either, Layer } from "effect"
import type * as Settings from "../src/Settings.js"
import { databaseFacts, processOf } from "../src/store/DatabaseFlags.js"
import { authorize, VictoriaMetrics } from "../src/store/VictoriaMetrics.js"
import { victoriaMetricsUrls } from "../src/store/VictoriaMetricsUrls.js"
import { sentenceOf } from "./ExitCode.js"
import { type Finding, ok, problem, warning } from "./Finding.js"
import { layerDatabase, readCredentials } from "./store.js"

type Database = Config.Config.Success<typeof Settings.victoriaMetrics>

/** Older ones leave out a bad line in silence. */
const oldestGoodVersion = [1, 105] as const

const isOld = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major < oldestGoodVersion[0] || (major === oldestGoodVersion[0] && minor < oldestGoodVersion[1])
}

/** With its credentials, and where queries go: of a cluster, that is another program than the one that takes writes. */
const askDatabase = (settings: Database) =>
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

/** What is wrong with the database that the settings name, and what its clock says. */
export const checkDatabase = Effect.fn("checkDatabase")(function* (
  victoriaMetrics: Database,
  retention: Duration.Duration
) {
  const check = "database"
  if (victoriaMetrics.writeUrl === "") return { findings: [ok(check, "the embedded store")], clockMs: undefined }
  const urls = victoriaMetricsUrls({
    write: victoriaMetrics.writeUrl,
    query: victoriaMetrics.queryUrl || undefined,
    export: victoriaMetrics.exportUrl || undefined,
    metrics: victoriaMetrics.metricsUrl || undefined
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
    const remedy = "start it, and check VM_WRITE_URL and VM_METRICS_URL; until then submissions wait in the journal"
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
  if (response.status !== 200 || processOf(text) === undefined) {
    const finding =
      response.status === 200
        ? "/metrics are another program's, as a proxy's; without its own, the collector reads back what it has written"
        : `its /metrics answers ${response.status}`
    const remedy = "set VM_METRICS_URL to the metrics of the program that takes the writes; they tell of its restarts"
    return { findings: [...findings, warning(check, finding, remedy)], clockMs }
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
  const days = Math.round(Duration.toDays(retention))
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
