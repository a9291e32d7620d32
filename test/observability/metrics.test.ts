import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { metricTable } from "../../src/observability/Metrics.js"
import { hasVictoriaMetrics, requirePart } from "../support/realParts.js"
import { accepted, baseUrl, layerTestServer, newHome, refused, testToken } from "../support/testServer.js"
import { runningDatabase } from "../support/victoriaMetrics.js"

const run = promisify(execFile)
const adminToken = "an-admin-token-of-the-tests-456"
const docs = new URL("../../docs/observability/", import.meta.url)
const document = (name: string) => readFileSync(new URL(name, docs), "utf8")

const hasPromtool = requirePart(
  await run("promtool", ["--version"]).then(
    () => true,
    () => false
  ),
  "promtool",
  "apt-get install prometheus"
)

const metrics = (headers: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(baseUrl, (base) =>
    Effect.promise(async () => {
      const response = await fetch(`${base}/metrics`, { headers })
      return { status: response.status, text: await response.text(), type: response.headers.get("content-type") }
    })
  )
const decodeNames = (json: string) =>
  Schema.decodeUnknownSync(Schema.parseJson(Schema.Struct({ data: Schema.Array(Schema.String) })))(json).data
const record = () => ({ timestamp: Date.now() / 1000, temp_outside: 1, temp_hgl_flow: 2 })

/** Every sample line as `name{labels}` → value. */
const samplesOf = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))])
  )
const families = (text: string): ReadonlySet<string> =>
  new Set(Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name]) => name!))

const aDayOfWork = Effect.gen(function* () {
  const home = newHome([record(), { ...record(), temp_outside: 9999 }, { temp_outside: 1 }, "x"])
  yield* accepted(home)
  yield* accepted(home)
  yield* accepted({ ...home, data: [{ timestamp: "yesterday" }] })
  yield* refused(home, { authorization: "Bearer a-wrong-token-0123456789" })
  return home.installation_id
})

it.scopedLive("/metrics counts submissions, records, samples and why they are refused, and names no home", () =>
  Effect.gen(function* () {
    const installationId = yield* aDayOfWork
    const { status, text, type } = yield* metrics()
    assert.strictEqual(status, 200)
    assert.strictEqual(type, "text/plain; version=0.0.4; charset=utf-8")
    assert.notInclude(text, installationId)
    const samples = samplesOf(text)
    for (const [sample, value] of Object.entries({
      'telemetry_submissions_total{result="stored"}': 1,
      'telemetry_submissions_total{result="duplicate"}': 1,
      'telemetry_submissions_total{result="nothing_stored"}': 1,
      'telemetry_submissions_total{result="credentials_refused"}': 1,
      telemetry_records_stored_total: 2,
      telemetry_samples_stored_total: 3,
      'telemetry_records_rejected_total{reason="timestamp_missing"}': 2,
      'telemetry_records_rejected_total{reason="not_an_object"}': 2,
      'telemetry_samples_rejected_total{reason="value_out_of_range"}': 2,
      'telemetry_http_request_duration_seconds_count{route="/api/v1/submit",status="200"}': 3,
      'telemetry_http_request_duration_seconds_count{route="/api/v1/submit",status="403"}': 1,
      telemetry_active_installations: 1,
      telemetry_store_ready: 1,
      'telemetry_scrape_success{part="store"}': 1
    })) {
      assert.strictEqual(samples.get(sample), value, sample)
    }
    assert.isAbove(samples.get("telemetry_http_received_bytes_total") ?? 0, 300)
    for (const name of ["process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds"]) {
      assert.isTrue(samples.has(name), name)
    }
  }).pipe(Effect.provide(layerTestServer()))
)

it.scopedLive("/metrics is open to this machine alone; a proxy's clients need the admin token", () =>
  Effect.gen(function* () {
    const proxied = { "x-forwarded-for": "203.0.113.9" }
    assert.strictEqual((yield* metrics(proxied)).status, 401)
    const bearer = (token: string) => ({ ...proxied, authorization: `Bearer ${token}` })
    assert.strictEqual((yield* metrics(bearer(testToken))).status, 403)
    assert.strictEqual((yield* metrics(bearer(adminToken))).status, 200)
    assert.strictEqual((yield* metrics()).status, 200)
  }).pipe(Effect.provide(layerTestServer({ ADMIN_TOKEN: adminToken })))
)

it.scopedLive.skipIf(!hasVictoriaMetrics || !hasPromtool)(
  "with a database behind: promtool finds nothing to say, VictoriaMetrics reads every family",
  () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      const text = yield* Effect.gen(function* () {
        yield* aDayOfWork
        yield* Effect.iterate(0, {
          while: (drained) => drained === 0,
          body: () =>
            Effect.sleep("50 millis").pipe(
              Effect.zipRight(metrics()),
              Effect.map(({ text }) => samplesOf(text).get('telemetry_drain_attempts_total{result="accepted"}') ?? 0)
            )
        })
        return (yield* metrics()).text
      }).pipe(Effect.provide(layerTestServer({ VM_WRITE_URL: database.url })))
      const samples = samplesOf(text)
      assert.strictEqual(samples.get("telemetry_database_up"), 1)
      assert.strictEqual(samples.get("telemetry_drained_samples_total"), 3)
      assert.strictEqual(samples.get("telemetry_journal_quarantined_blocks"), 0)

      yield* Effect.promise(async () => {
        const check = run("promtool", ["check", "metrics"])
        check.child.stdin?.end(text)
        const { stderr, stdout } = await check
        assert.deepStrictEqual([stdout, stderr], ["", ""])

        const written = await fetch(`${database.url}/api/v1/import/prometheus`, { method: "POST", body: text })
        assert.strictEqual(written.status, 204)
        await database.flush()
        const answer = await fetch(`${database.url}/api/v1/label/__name__/values?start=1`)
        const known = new Set(decodeNames(await answer.text()))
        for (const [name, value] of samples) {
          // A lag that has not been measured yet is NaN, which is not kept.
          assert.isTrue(Number.isNaN(value) || known.has(name.replace(/\{.*/s, "")), name)
        }
      })
    })
)

it.scopedLive("/metrics tells of the models in MODEL_DIR and of their last training", () =>
  Effect.gen(function* () {
    const modelDir = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-metrics-"))),
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
    )
    const put = (name: string, content: unknown) => writeFileSync(join(modelDir, name), JSON.stringify(content))
    put("AERO_SLM.enc", "0123456789")
    put("AERO_SLM_metadata.json", { model: "AERO_SLM", created: "2026-11-25T03:00:00.000Z" })
    put("training.json", {
      started: 5,
      finished: 7,
      next: null,
      models: [{ model: "TERRA", result: "refused", detail: "", seconds: 2 }]
    })
    yield* Effect.gen(function* () {
      const samples = samplesOf((yield* metrics()).text)
      assert.strictEqual(samples.get('telemetry_model_bytes{model="AERO_SLM",format="enc"}'), 12)
      const training = (model: string, result: string) =>
        samples.get(`telemetry_training_last_timestamp_seconds{model="${model}",result="${result}"}`)
      assert.strictEqual(training("AERO_SLM", "trained"), Date.UTC(2026, 10, 25, 3) / 1000)
      assert.strictEqual(training("TERRA", "refused"), 7)
    }).pipe(Effect.provide(layerTestServer({ MODEL_DIR: modelDir })))
  })
)

describe("docs/observability", () => {
  /** With what only a database, models and trainings bring. */
  const ours = Object.values(metricTable).map(({ name }) => name)
  const suffixes = /_(bucket|sum|count)$/

  it.scopedLive("dashboard and alerts use metrics that there are, and no others", () =>
    Effect.gen(function* () {
      const there = new Set([...ours, ...families((yield* metrics()).text), "up"])
      for (const file of ["dashboard.json", "alerts.yml"]) {
        const used = document(file).matchAll(/\b(?:telemetry_|process_|nodejs_)[a-z0-9_]+/g)
        for (const [name] of used) assert.isTrue(there.has(name) || there.has(name.replace(suffixes, "")), name)
      }
      const shown = document("dashboard.json") + document("alerts.yml")
      for (const name of ours) assert.include(shown, name)
    }).pipe(Effect.provide(layerTestServer()))
  )

  it("README.md has the table of metrics as it is in the code", () => {
    const rows = Object.values(metricTable).map(
      ({ help, labels, name, type }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`
    )
    assert.include(
      document("README.md"),
      ["| name | type | labels | meaning |", "| --- | --- | --- | --- |", ...rows].join("\n")
    )
  })

  it.skipIf(!hasPromtool)("promtool accepts the alert rules and the scrape configuration", async () => {
    const { stdout } = await run("promtool", ["check", "rules", new URL("alerts.yml", docs).pathname])
    assert.match(stdout, /SUCCESS: \d+ rules found/)
    await run("promtool", ["check", "config", "--syntax-only", new URL("prometheus.yml", docs).pathname])
  })
})
