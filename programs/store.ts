import { Path } from "@effect/platform"
import { type Config, type Duration, Effect, Either, Layer, Option, Redacted } from "effect"
import { drainConnections, layerDrain } from "../src/pipeline/Drain.js"
import type { InFlight } from "../src/pipeline/InFlight.js"
import { readSecret, SettingInvalid } from "../src/Secrets.js"
import * as Settings from "../src/Settings.js"
import { Backlog } from "../src/store/Backlog.js"
import { layerEmbeddedStore } from "../src/store/EmbeddedStore.js"
import { Journal } from "../src/store/Journal.js"
import type { DatabaseUnusable } from "../src/store/Sqlite.js"
import type { Store, StoreError } from "../src/store/Store.js"
import { VictoriaMetrics } from "../src/store/VictoriaMetrics.js"
import { layerVictoriaMetricsStore } from "../src/store/VictoriaMetricsStore.js"
import { victoriaMetricsUrls } from "../src/store/VictoriaMetricsUrls.js"

/** Connections for queries beside those of the drain. */
const queryConnections = 4

export const readCredentials = Effect.fn("store.readCredentials")(function* (username: string) {
  const password = yield* readSecret(Settings.vmPassword)
  const bearer = yield* readSecret(Settings.vmBearerToken)
  if (Option.isSome(bearer) && (username !== "" || Option.isSome(password))) {
    const reason = "and VM_USERNAME or VM_PASSWORD are both set; remove one"
    return yield* new SettingInvalid({ setting: bearer.value.setting, reason })
  }
  if (Option.isSome(password) !== (username !== "")) {
    return yield* new SettingInvalid({ setting: "VM_USERNAME", reason: "and VM_PASSWORD go together; set both" })
  }
  return {
    bearerToken: Option.map(bearer, ({ value }) => value),
    basicCredentials: Option.map(password, ({ value }) => Redacted.make(`${username}:${Redacted.value(value)}`))
  }
})

/** VictoriaMetrics as the settings give it, which must name it. */
export const layerDatabase = Effect.fn("store.layerDatabase")(function* (
  settings: Config.Config.Success<typeof Settings.victoriaMetrics>
) {
  const urls = yield* Either.mapLeft(
    victoriaMetricsUrls({
      write: settings.writeUrl,
      query: settings.queryUrl || undefined,
      export: settings.exportUrl || undefined,
      metrics: settings.metricsUrl || undefined
    }),
    ({ reason, setting }) => new SettingInvalid({ setting, reason })
  )
  return VictoriaMetrics.layer({
    urls,
    ...(yield* readCredentials(settings.username)),
    writeTimeout: settings.timeout,
    connections: drainConnections + queryConnections
  })
})

type StoreLayer = Layer.Layer<Store | Backlog, StoreError | DatabaseUnusable, InFlight>

/** The store that the settings ask for, with what is behind it. */
export const layerStore = Effect.fn("store.layer")(function* (options: {
  readonly dataDir: string
  readonly retention: Duration.Duration
  readonly minFreeDiskBytes: number
}) {
  const path = yield* Path.Path
  const settings = yield* Settings.victoriaMetrics
  const table = { file: path.join(options.dataDir, "telemetry.sqlite"), minFreeDiskBytes: options.minFreeDiskBytes }
  if (settings.writeUrl === "") {
    const embedded: StoreLayer = Layer.merge(
      layerEmbeddedStore({ ...table, retention: options.retention }),
      Backlog.layerNone
    )
    return embedded
  }
  const database = yield* layerDatabase(settings)
  const journalled: StoreLayer = Layer.merge(
    layerVictoriaMetricsStore({ retention: options.retention }),
    layerDrain({ settle: settings.settle })
  ).pipe(Layer.provide([Journal.layer({ ...table, maxBytes: settings.journalMaxBytes }), database]))
  return journalled
})
