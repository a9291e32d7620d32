import { assert, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Layer, Option, Redacted } from "effect"
import * as Settings from "../src/Settings.js"
import { layerTestServer } from "./support/testServer.js"

const everything = Config.all({
  host: Settings.host,
  port: Settings.port,
  dataDir: Settings.dataDir,
  modelDir: Settings.modelDir,
  minInstallations: Settings.minInstallations,
  minDataPoints: Settings.minDataPoints,
  community: Settings.community,
  modelKeep: Settings.modelKeep,
  trainingTime: Settings.trainingTime,
  nightly: Settings.nightly,
  victoriaMetrics: Settings.victoriaMetrics,
  limits: Settings.limits,
  quotas: Settings.quotas,
  trustedProxies: Settings.trustedProxies,
  connections: Settings.connections,
  logLevel: Settings.logLevel,
  logFormat: Settings.logFormat,
  tracing: Settings.tracing
})

const load = (environment: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(everything, ConfigProvider.fromMap(new Map(Object.entries(environment))))

/** The sentence with which `environment` is refused. */
const refusal = (environment: Readonly<Record<string, string>>) =>
  Effect.match(load(environment), { onFailure: String, onSuccess: () => "not refused" })

const numbers = Settings.settings.filter(({ fallback }) => /^\d+$/.test(fallback)).map(({ name }) => name)

it("the catalogue names every setting once, with a meaning", () => {
  const names = Settings.settings.map(({ name }) => name)
  assert.strictEqual(new Set(names).size, names.length)
  assert.includeMembers(names, ["HOST", "PORT", "DATA_DIR", "MODEL_DIR", "RETENTION_DAYS", "LOG_LEVEL"])
  for (const { meaning, name } of Settings.settings) {
    assert.match(name, /^[A-Z][A-Z_]*( or [A-Z_]+_FILE)?$/)
    assert.isAbove(meaning.length, 10, name)
  }
})

it.effect("an empty environment gives the defaults of the catalogue", () =>
  Effect.gen(function* () {
    const defaults = yield* load({})
    const catalogue = Object.fromEntries(Settings.settings.map(({ fallback, name }) => [name, fallback]))
    assert.deepStrictEqual(
      yield* load(Object.fromEntries(Object.entries(catalogue).filter(([, value]) => value !== ""))),
      defaults
    )
    assert.strictEqual(defaults.host, "127.0.0.1")
    assert.strictEqual(Duration.toDays(defaults.limits.retention), 365)
    assert.isAtLeast(defaults.limits.maxBodyBytes, 4 * 2_700_000)
    assert.isAtMost(
      Duration.toMillis(defaults.connections.headersTimeout),
      Duration.toMillis(defaults.connections.requestTimeout)
    )
  })
)

it.effect.each(numbers)("%s that is no number within its range is refused by name", (name) =>
  Effect.gen(function* () {
    for (const value of ["ten", "-1", "1.5", "NaN", "Infinity", "1e400", "0x1G", "10 MB", "99999999999999999999"]) {
      assert.include(yield* refusal({ [name]: value }), name, value)
    }
  })
)

it.effect("choices are refused by name too", () =>
  Effect.gen(function* () {
    for (const name of ["LOG_LEVEL", "LOG_FORMAT"]) {
      assert.include(yield* refusal({ [name]: "chatty" }), name)
    }
    assert.include(yield* refusal({ PORT: "65536" }), "PORT")
  })
)

it.scopedLive("a server with a setting that cannot be used does not start, and says which", () =>
  Effect.gen(function* () {
    for (const [name, value] of [
      ["MAX_BODY_BYTES", "16MB"],
      ["SHUTDOWN_GRACE_SECONDS", "0"],
      ["TRUSTED_PROXIES", "10.0.0.1, proxy.example"],
      ["AUTH_TOKEN", "short"],
      ["DATA_DIR", "/dev/null/data"]
    ] as const) {
      const error = yield* Effect.flip(Layer.build(layerTestServer({ [name]: value })))
      assert.include(String(error), name)
    }
  })
)

it.effect("SHUTDOWN_GRACE_SECONDS beyond what a timer can hold is refused: it would end at once", () =>
  Effect.map(refusal({ SHUTDOWN_GRACE_SECONDS: "2147484" }), (sentence) =>
    assert.include(sentence, "SHUTDOWN_GRACE_SECONDS")
  )
)

it.scopedLive("an empty variable of the environment counts as unset", () =>
  Effect.gen(function* () {
    const before = { ...process.env }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const name of ["PORT", "AUTH_TOKEN", "RETENTION_DAYS"]) delete process.env[name]
        Object.assign(process.env, before)
      })
    )
    Object.assign(process.env, { PORT: "", AUTH_TOKEN: "", RETENTION_DAYS: "7" })
    const read = Config.all([Settings.port, Config.option(Config.redacted("AUTH_TOKEN")), Settings.limits])
    const [port, token, limits] = yield* Effect.provide(read, Settings.layerEnvironment)
    assert.strictEqual(port, 8000)
    assert.deepStrictEqual(Option.map(token, Redacted.value), Option.none())
    assert.strictEqual(Duration.toDays(limits.retention), 7)
  })
)
