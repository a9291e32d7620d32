/** Every setting of every program: name, unit, default, meaning. The only reader of the environment. */
import { Config, ConfigProvider, Duration, Layer, LogLevel } from "effect"
import type { TrustedNetwork } from "./domain/TrustedNetwork.js"
import {
  atLeastOne,
  atLeastZero,
  declaredSettings,
  mappedSetting,
  type Setting,
  secret,
  setting,
  trustedNetworks,
  whole
} from "./Setting.js"
import { declareTracing } from "./TracingSettings.js"

/** All settings in the order of this file, for the documents. */
export const settings: ReadonlyArray<Setting> = declaredSettings

export const host = setting("HOST", Config.string, "127.0.0.1", "Address to listen on; 0.0.0.0 for all")
export const port = setting("PORT", whole(0, 65_535), 8000, "TCP port to listen on; 0 picks a free one")
export const dataDir = setting("DATA_DIR", Config.string, "./data", "Directory of the store and the generated token")
export const modelDir = setting(
  "MODEL_DIR",
  Config.string,
  "",
  "Directory of trained models; DATA_DIR/models when empty"
)

export const minInstallations = setting(
  "MIN_INSTALLATIONS",
  atLeastOne,
  5,
  "Installations without which no model is trained"
)
export const minDataPoints = setting(
  "MIN_DATA_POINTS",
  atLeastZero,
  10_000,
  "Records without which no model is trained"
)

/** Who gets models, and what is said of the community. */
export const community = Config.all({
  eligibility: mappedSetting(
    "ELIGIBILITY_DAYS",
    atLeastOne,
    30,
    "Days since its last submission after which an installation gets no model",
    Duration.days
  ),
  minGroup: setting("PRIVACY_MIN_GROUP", atLeastOne, 5, "Installations below which averages over them are withheld")
})
export const modelKeep = setting(
  "MODEL_KEEP",
  whole(2, 1_000),
  5,
  "Versions kept of every published model, the current one included"
)

/** Read by `ModelKeys`. */
export const encryptionKey = secret(
  "TELEMETRY_ENCRYPTION_KEY",
  "Fernet key that models are encrypted with, the same as in every client; without it none is published"
)
export const signingKey = secret("MODEL_SIGNING_KEY", "Ed25519 key that models are signed with; unsigned when empty")

export const trainingTime = setting(
  "TRAINING_TIME",
  Config.string,
  "",
  "Time of day (03:00) at which train --all runs, again every day, in the time zone TZ; once when empty"
)

/** The training that comes back every night. */
export const nightly = Config.all({
  targetModels: mappedSetting(
    "TARGET_MODELS",
    Config.string,
    "",
    "Models that train --all trains, separated by commas; all that have enough data when empty",
    (text) =>
      text
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")
  ),
  runOnStartup: setting(
    "RUN_ON_STARTUP",
    Config.boolean,
    false,
    "Whether a train --all that waits for its time also runs at its start"
  )
})

/** Read by `AccessTokens`. */
export const authToken = secret(
  "AUTH_TOKEN",
  "Tokens of loggers, separated by commas; without any, one is kept in DATA_DIR/auth-token",
  "generated"
)
export const adminToken = secret(
  "ADMIN_TOKEN",
  "Tokens of operators; without any, a logger's token will do from this machine itself"
)

export const limits = Config.all({
  retention: mappedSetting(
    "RETENTION_DAYS",
    atLeastOne,
    365,
    "Age in days at which samples are refused and removed",
    Duration.days
  ),
  maxBodyBytes: setting(
    "MAX_BODY_BYTES",
    atLeastOne,
    16 * 1024 * 1024,
    "Largest body in bytes, on the wire and again after decompression"
  ),
  maxInFlightBytes: setting(
    "MAX_IN_FLIGHT_BYTES",
    atLeastOne,
    256 * 1024 * 1024,
    "Bytes of all bodies that have come and are not yet encoded; more have to wait"
  ),
  minFreeDiskBytes: setting(
    "MIN_FREE_DISK_BYTES",
    atLeastZero,
    256 * 1024 * 1024,
    "Free disk in bytes below which submissions are refused"
  )
})

/** What one home, and one address, may do. */
export const quotas = Config.all({
  installationSamplesPerHour: setting(
    "INSTALLATION_SAMPLES_PER_HOUR",
    atLeastOne,
    5_000_000,
    "Samples of one installation, also at once; ten times what a home sends every second"
  ),
  unknownFields: setting(
    "INSTALLATION_UNKNOWN_FIELDS",
    atLeastZero,
    500,
    "Field names of one installation that are not in the sensor registry; more are dropped and counted"
  ),
  addressRequestsPerHour: setting(
    "ADDRESS_REQUESTS_PER_HOUR",
    atLeastOne,
    7_200,
    "Requests of one address, also at once; a refused one counts ten times, and this machine's own do not"
  ),
  addressNewInstallationsPerHour: setting(
    "ADDRESS_NEW_INSTALLATIONS_PER_HOUR",
    atLeastOne,
    100,
    "Installations never heard of before, by address"
  )
})

const noNetworks: ReadonlyArray<TrustedNetwork> = []
export const trustedProxies = setting(
  "TRUSTED_PROXIES",
  trustedNetworks,
  noNetworks,
  "Reverse proxies, as addresses or networks: they alone are believed for whom they ask"
)

/** The time-series database; `programs/store` reads its secrets. */
export const victoriaMetrics = Config.all({
  writeUrl: setting(
    "VM_WRITE_URL",
    Config.string,
    "",
    "VictoriaMetrics to write to: a base URL, or the full path of a node or of a cluster's vminsert; the embedded store when empty"
  ),
  queryUrl: setting(
    "VM_QUERY_URL",
    Config.string,
    "",
    "Where to query; needed for a cluster's vmselect, else as VM_WRITE_URL"
  ),
  exportUrl: setting("VM_EXPORT_URL", Config.string, "", "Where to export from; as VM_QUERY_URL when empty"),
  metricsUrl: setting(
    "VM_METRICS_URL",
    Config.string,
    "",
    "Metrics of the program that takes the writes, which tell of its restarts; needed behind a proxy, else beside VM_WRITE_URL"
  ),
  username: setting("VM_USERNAME", Config.string, "", "For basic authentication, with VM_PASSWORD"),
  timeout: mappedSetting(
    "VM_TIMEOUT_SECONDS",
    atLeastOne,
    30,
    "Seconds after which a write without an answer is tried again",
    Duration.seconds
  ),
  settle: mappedSetting(
    "VM_SETTLE_SECONDS",
    atLeastZero,
    30,
    "Seconds that a written block stays in the journal; VictoriaMetrics holds its last seconds in memory only",
    Duration.seconds
  ),
  journalMaxBytes: setting(
    "JOURNAL_MAX_BYTES",
    atLeastOne,
    10 * 1024 ** 3,
    "Compressed bytes that may wait for the database; beyond it submissions are refused"
  )
})
export const vmPassword = secret("VM_PASSWORD", "The password to VM_USERNAME")
export const vmBearerToken = secret("VM_BEARER_TOKEN", "Bearer token for VictoriaMetrics, instead of a user name")

export const connections = Config.all({
  headersTimeout: mappedSetting(
    "HEADERS_TIMEOUT_SECONDS",
    atLeastOne,
    10,
    "Seconds for a request's headers",
    Duration.seconds
  ),
  requestTimeout: mappedSetting(
    "REQUEST_TIMEOUT_SECONDS",
    atLeastOne,
    300,
    "Seconds for a whole request; a slow uplink needs minutes for a day of records",
    Duration.seconds
  ),
  shutdownGrace: mappedSetting(
    "SHUTDOWN_GRACE_SECONDS",
    whole(1, 86_400),
    8,
    "Seconds to finish requests in flight when stopping",
    Duration.seconds
  ),
  maxConnections: setting(
    "MAX_CONNECTIONS",
    atLeastOne,
    2_048,
    "Connections open at once; for one more, the one waiting longest for a request is closed, else a slow one"
  )
})

const logLevels = {
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  none: LogLevel.None
}
export const logLevel = mappedSetting(
  "LOG_LEVEL",
  Config.literal("debug", "info", "warning", "error", "none"),
  "info",
  "debug, info, warning, error or none",
  (level) => logLevels[level]
)
export const logFormat = setting(
  "LOG_FORMAT",
  Config.literal("auto", "pretty", "json"),
  "auto",
  "auto (pretty on a terminal, JSON otherwise), pretty or json"
)

/** Read by `Tracing`. */
export const tracing = declareTracing()

/** Where GitHub Actions takes a step's summary from; set by it, and no setting of ours. */
export const stepSummaryFile = Config.withDefault(Config.string("GITHUB_STEP_SUMMARY"), "")

/** The process environment; an empty value counts as unset, as compose files write it. */
export const layerEnvironment = Layer.suspend(() => {
  const set = Object.entries(process.env).filter((entry): entry is [string, string] => (entry[1] ?? "") !== "")
  return Layer.setConfigProvider(ConfigProvider.fromMap(new Map(set)))
})
