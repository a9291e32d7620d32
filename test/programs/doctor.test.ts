import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { diagnose } from "../../programs/diagnosis.js"
import { databaseFacts } from "../../src/store/DatabaseFlags.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { freePort, proxyOf, runningDatabase } from "../support/victoriaMetrics.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = mkdtempSync(join(tmpdir(), "telemetry-doctor-"))
    const dataDir = join(directory, "data")
    mkdirSync(dataDir, { mode: 0o700 })
    return dataDir
  }),
  (dataDir) => Effect.sync(() => rmSync(join(dataDir, ".."), { recursive: true }))
)

const strong = "Zk3vVb9hQ0yXn7RtLw2mJc5sDp8fGa1e"

/** `check: state` of what is not well, as the machine itself is not. */
const ills = (
  dataDir: string,
  settings: Readonly<Record<string, string>>,
  token: Readonly<Record<string, string>> = { AUTH_TOKEN: strong }
) =>
  diagnose(dataDir).pipe(
    Effect.map((findings) =>
      findings.filter(({ state }) => state !== "ok").map(({ check, finding, state }) => `${check} ${state}: ${finding}`)
    ),
    Effect.provide(
      Layer.setConfigProvider(
        ConfigProvider.fromMap(new Map(Object.entries({ ...token, MIN_FREE_DISK_BYTES: "1", ...settings })))
      )
    ),
    Effect.provide([NodeContext.layer, NodeHttpClient.layer])
  )

const illsMatching = (patterns: ReadonlyArray<RegExp>, found: ReadonlyArray<string>) => {
  assert.strictEqual(found.length, patterns.length, found.join("\n"))
  patterns.forEach((pattern, i) => {
    assert.match(found[i]!, pattern)
  })
}

it.scopedLive("finds nothing wrong with what is right, and each thing that is not", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    assert.deepStrictEqual(yield* ills(dataDir, {}), [])
    illsMatching([/^settings problem: .*PORT/], yield* ills(dataDir, { PORT: "eighty" }))
    illsMatching([/^disk problem/], yield* ills(dataDir, { MIN_FREE_DISK_BYTES: String(2 ** 52) }))
    illsMatching(
      [/^tokens problem: .*placeholder/],
      yield* ills(dataDir, { AUTH_TOKEN: "change-me-to-something-secure" })
    )
    illsMatching([/^tokens warning: 1 can be guessed/], yield* ills(dataDir, { AUTH_TOKEN: "a".repeat(40) }))
    illsMatching([/^tokens problem: a logger's/], yield* ills(dataDir, { ADMIN_TOKEN: strong }))
    illsMatching([/^tokens warning: no ADMIN_TOKEN/, /^proxy warning/], yield* ills(dataDir, { HOST: "0.0.0.0" }))
    illsMatching([/^proxy problem/], yield* ills(dataDir, { TRUSTED_PROXIES: "0.0.0.0/0" }))
    illsMatching([/^database problem: VM_WRITE_URL is not/], yield* ills(dataDir, { VM_WRITE_URL: "victoria" }))
    const nobody = yield* Effect.promise(freePort)
    illsMatching(
      [/^database problem: it does not answer/],
      yield* ills(dataDir, { VM_WRITE_URL: `http://127.0.0.1:${nobody}` })
    )
    writeFileSync(join(dataDir, "auth-token"), strong)
    chmodSync(join(dataDir, "auth-token"), 0o644)
    illsMatching([/^data directory warning: .*auth-token is open to others \(0644\)/], yield* ills(dataDir, {}))
  })
)

it.scopedLive("what cannot be looked at is a problem with its cause and remedy", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const below = join(dataDir, "file", "below")
    writeFileSync(join(dataDir, "file"), "")
    illsMatching([/^models problem: .*below cannot be looked at: ENOTDIR/], yield* ills(dataDir, { MODEL_DIR: below }))
    illsMatching(
      ["data directory", "models", "disk", "tokens"].map(
        (check) => new RegExp(`^${check} problem: .*below.* cannot be looked at: ENOTDIR`)
      ),
      yield* ills(below, {}, {})
    )
  })
)

it.scopedLive("judges what a link leads to, not the link", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const link = join(dataDir, "..", "link")
    symlinkSync(dataDir, link)
    assert.deepStrictEqual(yield* ills(link, {}), [])
  })
)

it.scopedLive.skipIf(!hasVictoriaMetrics)("asks the database itself what it removes and keeps", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const right = yield* runningDatabase()
    assert.deepStrictEqual(yield* ills(dataDir, { VM_WRITE_URL: right.url }), [])
    illsMatching(
      [/^database problem: it drops what is older than 403 days, and RETENTION_DAYS is 500/],
      yield* ills(dataDir, { VM_WRITE_URL: right.url, RETENTION_DAYS: "500" })
    )
    illsMatching(
      [/^database problem: .*query/],
      yield* ills(dataDir, { VM_WRITE_URL: right.url, VM_QUERY_URL: `${right.url}/nowhere` })
    )
    const locked = yield* runningDatabase(["-httpAuth.username=collector", "-httpAuth.password=right"])
    illsMatching(
      [/^database problem: .*query.*401/],
      yield* ills(dataDir, { VM_WRITE_URL: locked.url, VM_USERNAME: "collector", VM_PASSWORD: "wrong" })
    )
    const unlocked = { VM_WRITE_URL: locked.url, VM_USERNAME: "collector", VM_PASSWORD: "right" }
    assert.deepStrictEqual(yield* ills(dataDir, unlocked), [])
    illsMatching(
      [/^database problem: VM_USERNAME/],
      yield* ills(dataDir, { VM_WRITE_URL: locked.url, VM_USERNAME: "collector" })
    )
    const wrong = yield* runningDatabase(["-dedup.minScrapeInterval=0s"])
    illsMatching([/^database warning: it keeps samples/], yield* ills(dataDir, { VM_WRITE_URL: wrong.url }))
    const proxy = yield* proxyOf(wrong)
    illsMatching([/^database warning: .*another program's/], yield* ills(dataDir, { VM_WRITE_URL: proxy }))
    illsMatching(
      [/^database warning: it keeps samples/],
      yield* ills(dataDir, { VM_WRITE_URL: proxy, VM_METRICS_URL: wrong.url })
    )
  })
)

it("reads the release and the retention of every form", () => {
  const facts = (period: string, version: string) =>
    databaseFacts(`vm_app_version{${version}} 1\nflag{name="retentionPeriod", value="${period}", is_set="true"} 1\n`)
  const docker = 'version="victoria-metrics-20250718-101010-tags-v1.122.0-0-g1234567", short_version="v1.122.0"'
  assert.deepStrictEqual(facts("13", docker), { version: "1.122.0", retentionDays: 403, removesDuplicates: undefined })
  assert.strictEqual(facts("2y", 'version="", short_version=""').retentionDays, 730)
  assert.strictEqual(facts("90d", 'version="", short_version=""').version, undefined)
})
