import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Clock, Context, Duration, Effect, Either, Layer, Option } from "effect"
import { listModelFiles } from "../artifact/ModelFiles.js"
import { type RawAddress, rawAddress } from "../domain/Address.js"
import { Auth } from "../pipeline/Auth.js"
import { Ingest } from "../pipeline/Ingest.js"
import { isLoopback } from "../pipeline/Mask.js"
import { Store, StoreError } from "../store/Store.js"
import { Api, type Status, type SubmitResult } from "./Api.js"
import { answer } from "./Problems.js"

/** What the status handler says about the program it runs in. */
export class About extends Context.Tag("telemetry/http/About")<
  About,
  { readonly version: string; readonly modelDir: string }
>() {}

const activeWindow = Duration.days(30)

const peerOf = (request: HttpServerRequest.HttpServerRequest): RawAddress =>
  rawAddress(Option.getOrElse(request.remoteAddress, () => ""))

/** Asked from this machine itself: a proxy on this machine says for whom it asks. */
const isLocal = (request: HttpServerRequest.HttpServerRequest): boolean =>
  isLoopback(peerOf(request)) && !("x-forwarded-for" in request.headers) && !("forwarded" in request.headers)

const IngestHandlers = HttpApiBuilder.group(Api, "ingest", (handlers) =>
  Effect.gen(function* () {
    const ingest = yield* Ingest
    return handlers.handleRaw("submit", ({ request }) => {
      const incoming = NodeHttpServerRequest.toIncomingMessage(request)
      return ingest
        .submit({ authorization: incoming.headers.authorization, peer: peerOf(request), body: incoming })
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
          Effect.catchAll(answer)
        )
    })
  })
)

const SystemHandlers = HttpApiBuilder.group(Api, "system", (handlers) =>
  Effect.gen(function* () {
    const store = yield* Store
    return handlers
      .handle("health", () => Effect.succeed({ status: "ok" } as const))
      .handleRaw("ready", () =>
        store.ready.pipe(
          Effect.map(() => HttpServerResponse.unsafeJson({ status: "ready" })),
          Effect.catchAll(answer)
        )
      )
  })
)

const AdminHandlers = HttpApiBuilder.group(Api, "admin", (handlers) =>
  Effect.gen(function* () {
    const auth = yield* Auth
    const store = yield* Store
    const about = yield* About
    const startedMs = yield* Clock.currentTimeMillis

    const status = Effect.fn("Handlers.status")(function* (request: HttpServerRequest.HttpServerRequest) {
      yield* auth.admin(request.headers.authorization, isLocal(request))
      const nowMs = yield* Clock.currentTimeMillis
      const active = yield* store.activeInstallations(nowMs - Duration.toMillis(activeWindow))
      const totals = yield* store.totals
      const readiness = yield* Effect.either(store.ready)
      const files = yield* listModelFiles(about.modelDir).pipe(
        Effect.mapError((cause) => new StoreError({ operation: "list MODEL_DIR", cause }))
      )
      const status: Status = {
        status: "online",
        active_installations_30d: active,
        timestamp: nowMs / 1000,
        version: about.version,
        uptime_seconds: Math.round((nowMs - startedMs) / 1000),
        store: {
          kind: "embedded",
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
          last_submission: totals.lastReceivedMs === undefined ? null : totals.lastReceivedMs / 1000
        },
        models: files.map(({ name, filename, sizeBytes, modifiedMs }) => ({
          name,
          filename,
          size_bytes: sizeBytes,
          modified: modifiedMs / 1000
        }))
      }
      return HttpServerResponse.unsafeJson(status)
    })
    return handlers.handleRaw("status", ({ request }) => Effect.catchAll(status(request), answer))
  })
)

export const layerApi = HttpApiBuilder.api(Api).pipe(Layer.provide([IngestHandlers, SystemHandlers, AdminHandlers]))
