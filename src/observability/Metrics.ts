/**
 * Everything that `GET /metrics` shows, in one table: names, meaning, labels.
 *
 * Invariants:
 * - No label holds anything that a client chose, an installation id least of all: every set of values is bounded by the
 *   code.
 * - Counting is per batch or request, never per sample.
 *
 * Names follow https://prometheus.io/docs/practices/naming/. Those of the process and its event loop (`process_…`,
 * `nodejs_…`) come from prom-client.
 */
import { Context, Effect, Layer } from "effect"
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client"

interface Definition<Label extends string = string> {
  readonly type: "counter" | "gauge" | "histogram"
  readonly name: string
  readonly help: string
  readonly labels: ReadonlyArray<Label>
}

const define =
  (type: Definition["type"]) =>
  <Label extends string = never>(name: string, help: string, ...labels: ReadonlyArray<Label>): Definition<Label> => ({
    type,
    name: `telemetry_${name}`,
    help,
    labels
  })
const counter = define("counter")
const gauge = define("gauge")
const histogram = define("histogram")

/** Seconds; a day of records over a slow uplink takes minutes. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]

export const metricTable = {
  build: gauge("build_info", "1, with the releases that run", "version", "node_version"),

  submissions: counter(
    "submissions_total",
    "Submissions by result: stored, duplicate, nothing_stored (no record to store), or why refused",
    "result"
  ),
  recordsStored: counter("records_stored_total", "Records stored, of single heat pumps, duplicates left out"),
  recordsRejected: counter("records_rejected_total", "Records refused while the rest was stored, by reason", "reason"),
  samplesStored: counter("samples_stored_total", "Samples stored, duplicates left out"),
  samplesRejected: counter("samples_rejected_total", "Fields refused in records that were stored, by reason", "reason"),
  bytesStored: counter("stored_bytes_total", "Compressed bytes written to the store or journal"),

  requestDuration: histogram("http_request_duration_seconds", "From a request's head to its answer", "route", "status"),
  connectionsClosed: counter(
    "connections_closed_total",
    "Connections closed beyond MAX_CONNECTIONS: waiting for a request, slow, or refused",
    "reason"
  ),
  bytesReceived: counter("http_received_bytes_total", "Bytes read from connections, headers included"),

  storeReady: gauge("store_ready", "1 while submissions can be stored durably"),
  storeBytes: gauge("store_bytes", "Size of the store or journal on disk"),
  diskFreeBytes: gauge("disk_free_bytes", "Free on the disk of the store or journal"),
  diskMinFreeBytes: gauge("disk_min_free_bytes", "MIN_FREE_DISK_BYTES: submissions are refused below it"),
  installations: gauge("installations", "Installations that have data"),
  activeInstallations: gauge("active_installations", "Installations heard of in the last 30 days"),
  lastSubmission: gauge("last_submission_timestamp_seconds", "When something was last stored"),

  journalBytes: gauge("journal_bytes", "Compressed bytes waiting for the database, settling or in quarantine"),
  journalMaxBytes: gauge("journal_max_bytes", "JOURNAL_MAX_BYTES: submissions are refused beyond it"),
  journalWaitingBlocks: gauge("journal_waiting_blocks", "Blocks not yet sent to the database"),
  journalWaitingSamples: gauge("journal_waiting_samples", "Samples not yet sent to the database"),
  journalOldest: gauge("journal_oldest_waiting_seconds", "Age of the longest waiting block; 0 when nothing waits"),
  journalSettling: gauge("journal_settling_blocks", "Blocks the database has taken and could still lose in a crash"),
  journalQuarantined: gauge("journal_quarantined_blocks", "Blocks the database refused; see telemetry resend"),
  databaseUp: gauge("database_up", "1 while the database does what it is asked"),
  drainAttempts: counter("drain_attempts_total", "Writes to the database: accepted, refused or unavailable", "result"),
  drainedSamples: counter("drained_samples_total", "Samples the database has taken, those sent again included"),

  modelBytes: gauge("model_bytes", "Size of a model in MODEL_DIR", "model", "format"),
  modelModified: gauge("model_modified_timestamp_seconds", "When a model in MODEL_DIR was written", "model", "format"),
  trainingFinished: gauge(
    "training_last_timestamp_seconds",
    "When the last training that left a record in MODEL_DIR ended: trained, or why not",
    "model",
    "result"
  ),

  collected: gauge("scrape_success", "0 when this part could not be read, so its metrics are missing", "part")
} as const

/** Results and reasons that are 0 from the start, so that the first increase is one. */
const zeros: ReadonlyArray<readonly [Definition, Readonly<Record<string, string>>]> = [
  ...["stored", "duplicate", "credentials_refused", "store_full", "store_error"].map(
    (result) => [metricTable.submissions, { result }] as const
  ),
  ...["waiting", "slow", "refused"].map((reason) => [metricTable.connectionsClosed, { reason }] as const),
  ...["accepted", "refused", "unavailable"].map((result) => [metricTable.drainAttempts, { result }] as const)
]

type Labels<Label extends string> = Readonly<Record<Label, string>>
/** What a scrape finds out: a value for a gauge. */
export interface Observed {
  readonly gauge: Definition
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
export const observed = <Label extends string>(
  gauge: Definition<Label>,
  value: number,
  ...[labels]: [Label] extends [never] ? [] : [Labels<Label>]
): Observed => ({ gauge, labels: labels ?? {}, value })

/** Gauges with the suffix of counters, which `promtool check metrics` objects to. */
const misnamed = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"]

/** There is one process, however many servers tests start in it. */
const processMetrics: { registry?: Registry } = {}
const processRegistry = (): Registry => {
  if (processMetrics.registry === undefined) {
    processMetrics.registry = new Registry()
    collectDefaultMetrics({ register: processMetrics.registry })
    for (const name of misnamed) processMetrics.registry.removeSingleMetric(name)
  }
  return processMetrics.registry
}

const makeMetrics = () => {
  const registry = new Registry()
  const counters = new Map<string, Counter>()
  const histograms = new Map<string, Histogram>()
  for (const { help, labels, name, type } of Object.values<Definition>(metricTable)) {
    const options = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === "counter") counters.set(name, new Counter(options))
    if (type === "histogram") histograms.set(name, new Histogram({ ...options, buckets: durationBuckets }))
  }
  for (const [{ name }, labels] of zeros) counters.get(name)!.inc(labels, 0)

  const add = <Label extends string>(
    { name }: Definition<Label>,
    n: number,
    ...[labels]: [Label] extends [never] ? [] : [Labels<Label>]
  ): void => counters.get(name)!.inc(labels ?? {}, n)
  const observe = <Label extends string>({ name }: Definition<Label>, value: number, labels: Labels<Label>): void =>
    histograms.get(name)!.observe(labels, value)

  /** Gauges are what is given and nothing else: what could not be found out is missing, not old. */
  const render = (found: ReadonlyArray<Observed>) =>
    Effect.promise(() => {
      const gauges = new Registry()
      const byName = new Map<string, Gauge>()
      for (const { gauge, labels, value } of found) {
        const { help, name } = gauge
        const options = { name, help, labelNames: [...gauge.labels], registers: [gauges] }
        if (!byName.has(name)) byName.set(name, new Gauge(options))
        byName.get(name)!.set(labels, value)
      }
      return Registry.merge([registry, gauges, processRegistry()]).metrics()
    })
  return { add, observe, render }
}

export type MetricsService = ReturnType<typeof makeMetrics>

/** Where everything counts. One that nobody reads where none is provided. */
export class Metrics extends Context.Reference<Metrics>()("telemetry/observability/Metrics", {
  defaultValue: makeMetrics
}) {
  static readonly layer = Layer.sync(this, makeMetrics)
}
