import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Clock, Effect, Schema, Stream } from "effect"
import { affectedModels } from "../artifact/TrainedHomes.js"
import type { InstallationId } from "../domain/InstallationId.js"
import { Auth } from "../pipeline/Auth.js"
import { checkHead, readBody } from "../pipeline/Body.js"
import { ByteBuffer } from "../pipeline/ByteBuffer.js"
import { EnvelopeMismatch } from "../pipeline/Decode.js"
import { parseJson } from "../pipeline/Json.js"
import { Store, StoreError } from "../store/Store.js"
import { About } from "./About.js"
import { Api } from "./Api.js"
import { orBreakOff } from "./breakOff.js"
import { Clients } from "./Clients.js"
import { contentTypeOf, exportLines } from "./ExportLines.js"
import { answer } from "./Problems.js"
import { EraseRequest, type ErasureReceipt, ExportRequest, type InstallationList } from "./RightsApi.js"

const maxRequestBytes = 4096

/** Decode errors would print the values. */
const readRequest = Effect.fn("RightsHandlers.readRequest")(function* <A, I>(
  request: HttpServerRequest.HttpServerRequest,
  schema: Schema.Schema<A, I>
) {
  const incoming = NodeHttpServerRequest.toIncomingMessage(request)
  yield* checkHead(incoming, maxRequestBytes)
  const body = yield* readBody(incoming, maxRequestBytes)
  const json = yield* parseJson(body.moveTo(new ByteBuffer(maxRequestBytes)))
  return yield* Schema.decodeUnknown(schema)(json).pipe(
    Effect.mapError(
      () =>
        new EnvelopeMismatch({
          detail: "The request is not valid: installation_id must be a UUID, the rest as /docs shows"
        })
    )
  )
})

export const RightsHandlers = HttpApiBuilder.group(Api, "rights", (handlers) =>
  Effect.gen(function* () {
    const auth = yield* Auth
    const clients = yield* Clients
    const store = yield* Store
    const { modelDir } = yield* About

    const authorize = (request: HttpServerRequest.HttpServerRequest) =>
      auth.admin(request.headers.authorization, clients.of(request).isLocal)

    const list = Effect.fn("RightsHandlers.list")(function* (request: HttpServerRequest.HttpServerRequest) {
      yield* authorize(request)
      const summaries = yield* store.installations
      const list: InstallationList = {
        installations: summaries.map(({ id, lastReceivedMs, records, samples }) => ({
          installation_id: id,
          last_submission: lastReceivedMs === undefined ? null : lastReceivedMs / 1000,
          records: records ?? null,
          samples: samples ?? null
        })),
        total: summaries.length
      }
      return HttpServerResponse.unsafeJson(list)
    })

    const exportAll = Effect.fn("RightsHandlers.export")(function* (request: HttpServerRequest.HttpServerRequest) {
      yield* authorize(request)
      const { format, installation_id } = yield* readRequest(request, ExportRequest)
      yield* Effect.logInfo("exporting the data of one home")
      const records = store.read(installation_id)
      // A database that is down is answered with 503. Later on, the answer can only be broken off.
      yield* Stream.runDrain(Stream.take(records, 1))
      const lines = orBreakOff(exportLines(format, records), request, "an export")
      return HttpServerResponse.stream(lines, {
        contentType: contentTypeOf(format),
        headers: { "content-disposition": `attachment; filename="${installation_id}.${format}"` }
      })
    })

    const sumsOf = (installation: InstallationId) =>
      Effect.map(store.installations, (all) => {
        const { records, samples } = all.find(({ id }) => id === installation) ?? { records: 0, samples: 0 }
        return { records: records ?? null, samples: samples ?? null }
      })

    const erase = Effect.fn("RightsHandlers.erase")(function* (request: HttpServerRequest.HttpServerRequest) {
      yield* authorize(request)
      const { delete_damaged, dry_run, installation_id } = yield* readRequest(request, EraseRequest)
      const { records, samples } = yield* sumsOf(installation_id)
      // First: a receipt that cannot be written is no reason to have erased.
      const { models, unknown } = yield* affectedModels(modelDir, installation_id).pipe(
        Effect.mapError((cause) => new StoreError({ operation: "look through MODEL_DIR", cause }))
      )
      const blocks = dry_run ? null : yield* store.erase(installation_id)
      const damaged = yield* store.damagedFiles
      const isDeleting = delete_damaged && !dry_run
      if (isDeleting) yield* store.deleteDamagedFiles
      const receipt: ErasureReceipt = {
        installation_id,
        is_dry_run: dry_run,
        records,
        samples,
        blocks,
        at: (yield* Clock.currentTimeMillis) / 1000,
        damaged_files: isDeleting ? [] : damaged,
        deleted_files: isDeleting ? damaged : [],
        affected_models: models.map(({ isCurrent, name, version }) => ({ name, version, is_current: isCurrent })),
        models_of_unknown_homes: unknown.length
      }
      if (!dry_run) yield* Effect.logInfo("erased the data of one home", { blocks, records, samples })
      return HttpServerResponse.unsafeJson(receipt)
    })

    return handlers
      .handleRaw("installations", ({ request }) => Effect.catchAll(list(request), answer))
      .handleRaw("export", ({ request }) => Effect.catchAll(exportAll(request), answer))
      .handleRaw("erase", ({ request }) => Effect.catchAll(erase(request), answer), { uninterruptible: true })
  })
)
