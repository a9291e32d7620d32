import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse, OpenApi } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Clock, type Context, Duration, Effect, Either, Layer, Option } from "effect"
import { readLastTraining } from "../artifact/LastTraining.js"
import { Registry } from "../artifact/Registry.js"
import { Auth } from "../pipeline/Auth.js"
import { Ingest } from "../pipeline/Ingest.js"
import { Backlog, type BacklogReport } from "../store/Backlog.js"
import { Store, StoreError } from "../store/Store.js"
import { About } from "./About.js"
import { Api, type JournalStatus, type Readiness, type Resent, type Status, type SubmitResult } from "./Api.js"
import { Clients } from "./Clients.js"
import { CommunityHandlers, describeModel } from "./CommunityHandlers.js"
import { MetricsHandlers } from "./MetricsHandlers.js"
import { answer, answerSubmission } from "./Problems.js"
import { RightsHandlers } from "./RightsHandlers.js"

const activeWindow = Duration.days(30)

const IngestHandlers = HttpApiBuilder.group(Api, "ingest", (handlers) =>
  Effect.gen(function* () {
    const ingest = yield* Ingest
    const clients = yield* Clients
    return handlers.handleRaw("submit", ({ request }) => {
      const incoming = NodeHttpServerRequest.toIncomingMessage(request)
      const { address, isLocal } = clients.of(request)
      return ingest
        .submit({ authorization: incoming.headers.authorization, client: address, isLocal, body: incoming })
        .pipe(
          Effect.map((receipt) => {
            const result: SubmitResult = {
              status: "success",
              processed: receipt.processed,
              rejected: receipt.rejected,
              fields_dropped: receipt.fieldsDropped,
              duplicate: receipt.duplicate,
              receipt: receipt.receipt,
              errors: receipt.verdicts
            }
            return HttpServerResponse.unsafeJson(result)
          }),
          Effect.catchAll(answerSubmission)
        )
    })
  })
)

const journalStatus = (report: BacklogReport, nowMs: number): JournalStatus => ({
  waiting_blocks: report.waitingBlocks,
  waiting_samples: report.waitingSamples,
  oldest_waiting_seconds: report.oldestWaitingMs === undefined ? null : (nowMs - report.oldestWaitingMs) / 1000,
  settling_blocks: report.settlingBlocks,
  quarantined_blocks: report.quarantined.reduce((sum, { blocks }) => sum + blocks, 0),
  quarantine: report.quarantined,
  bytes: report.bytes,
  max_bytes: report.maxBytes,
  drained_samples_per_second: report.drainedSamplesPerSecond,
  full_in_seconds: report.fullInSeconds ?? null,
  database_error:
    report.lastError === undefined
      ? null
      : {
          at: report.lastError.atMs / 1000,
          since: report.lastError.sinceMs / 1000,
          detail: report.lastError.sentence,
          is_over: report.lastError.isOver
        }
})

/** Null where there is no database behind the store. */
const reportJournal = Effect.fn("Handlers.reportJournal")(function* (backlog: Context.Tag.Service<Backlog>) {
  const report = yield* backlog.report
  return report === undefined ? null : journalStatus(report, yield* Clock.currentTimeMillis)
})

const SystemHandlers = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function* () {
    const store = yield* Store
    const backlog = yield* Backlog
    const ready = Effect.gen(function* () {
      yield* store.ready
      const readiness: Readiness = { status: "ready", journal: yield* reportJournal(backlog) }
      return HttpServerResponse.unsafeJson(readiness)
    })
    return handlers
      .handle("health", () => Effect.succeed({ status: "ok" } as const))
      .handleRaw("ready", () => Effect.catchAll(ready, answer))
  })
)

const AdminHandlers = HttpApiBuilder.group(Api, "admin", (handlers) =>
  Effect.gen(function* () {
    const auth = yield* Auth
    const store = yield* Store
    const backlog = yield* Backlog
    const about = yield* About
    const clients = yield* Clients
    const registry = yield* Registry
    const startedMs = yield* Clock.currentTimeMillis

    const status = Effect.fn("Handlers.status")(function* (request: HttpServerRequest.HttpServerRequest) {
      yield* auth.admin(request.headers.authorization, clients.of(request).isLocal)
      const nowMs = yield* Clock.currentTimeMillis
      // At once: a database that hangs costs one time-out, not one each.
      const [active, totals, oldestMs, damagedFiles, journal] = yield* Effect.all(
        [
          store.activeInstallations(nowMs - Duration.toMillis(activeWindow)),
          store.totals,
          store.oldestMs,
          store.damagedFiles,
          reportJournal(backlog)
        ],
        { concurrency: "unbounded" }
      )
      const readiness = yield* Effect.either(store.ready)
      const models = yield* registry.list.pipe(
        Effect.mapError((cause) => new StoreError({ operation: "list MODEL_DIR", cause }))
      )
      const training = yield* readLastTraining(about.modelDir)
      const status: Status = {
        status: "online",
        active_installations_30d: active,
        timestamp: nowMs / 1000,
        version: about.version,
        uptime_seconds: Math.round((nowMs - startedMs) / 1000),
        store: {
          kind: journal === null ? "embedded" : "victoriametrics",
          ready: Either.isRight(readiness),
          detail: Either.match(readiness, {
            onLeft: (error) => (error._tag === "StoreFull" ? error.detail : error.message),
            onRight: () => null
          }),
          installations: totals.installations,
          blocks: totals.blocks,
          records: totals.records,
          samples: totals.samples,
          bytes_on_disk: totals.bytesOnDisk,
          last_submission: totals.lastReceivedMs === undefined ? null : totals.lastReceivedMs / 1000,
          oldest_day: oldestMs === undefined ? null : new Date(oldestMs).toISOString().slice(0, 10),
          retention_days: Duration.toDays(about.retention),
          damaged_files: damagedFiles
        },
        journal,
        models: models.map(describeModel),
        training: Option.getOrNull(training)
      }
      return HttpServerResponse.unsafeJson(status)
    })
    return handlers.handleRaw("status", ({ request }) => Effect.catchAll(status(request), answer))
  })
)

const QuarantineHandlers = HttpApiBuilder.group(Api, "quarantine", (handlers) =>
  Effect.gen(function* () {
    const auth = yield* Auth
    const backlog = yield* Backlog
    const clients = yield* Clients
    const resend = Effect.fn("Handlers.resend")(function* (request: HttpServerRequest.HttpServerRequest) {
      yield* auth.admin(request.headers.authorization, clients.of(request).isLocal)
      const resent: Resent = { resent_blocks: yield* backlog.resendQuarantined }
      return HttpServerResponse.unsafeJson(resent)
    })
    return handlers.handleRaw("resend", ({ request }) => Effect.catchAll(resend(request), answer))
  })
)

/** As `/openapi.json` and `/docs` describe it, of this version of the program. */
export const layerApi = Layer.unwrapEffect(
  Effect.map(About, ({ version }) => HttpApiBuilder.api(Api.annotate(OpenApi.Version, version)))
).pipe(
  Layer.provide([
    IngestHandlers,
    SystemHandlers,
    AdminHandlers,
    QuarantineHandlers,
    RightsHandlers,
    CommunityHandlers,
    MetricsHandlers
  ])
)
