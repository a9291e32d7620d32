import { Context, Data, Effect, Layer } from "effect"
import type { MaskedIp, RawAddress } from "../domain/Address.js"
import type { Submission, Verdict } from "../domain/Submission.js"
import { Auth, type AuthError } from "./Auth.js"
import type { BodySource } from "./Body.js"
import { Decode, type DecodeError } from "./Decode.js"
import { Encode } from "./Encode.js"
import { Mask } from "./Mask.js"
import { type QuotaExceeded, Quotas } from "./Quotas.js"
import { submissionMetrics } from "./SubmissionMetrics.js"
import { Write, type WriteError } from "./Write.js"

/** One `POST /api/v1/submit` before anything of it has been believed. */
interface SubmissionRequest {
  readonly authorization: string | undefined
  readonly client: RawAddress
  /** Sent from this machine itself: there is no address to count by. */
  readonly isLocal: boolean
  readonly body: BodySource
}

/** What the client is told once its records are stored for good. */
interface Receipt {
  readonly processed: number
  readonly rejected: number
  readonly fieldsDropped: number
  /** Everything in this submission had been stored before. */
  readonly duplicate: boolean
  readonly receipt: string
  readonly verdicts: ReadonlyArray<Verdict>
}

/** The person behind this installation has had its data erased: nothing of it is stored again. */
class InstallationErased extends Data.TaggedError("InstallationErased")<{ readonly detail: string }> {}

export type IngestError = AuthError | DecodeError | QuotaExceeded | InstallationErased | WriteError

/** The way of a submission through the stages; the only place that knows their order. */
export class Ingest extends Context.Tag("telemetry/pipeline/Ingest")<
  Ingest,
  { readonly submit: (request: SubmissionRequest) => Effect.Effect<Receipt, IngestError> }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const auth = yield* Auth
      const decode = yield* Decode
      const mask = yield* Mask
      const quotas = yield* Quotas
      const encode = yield* Encode
      const write = yield* Write
      const metrics = yield* submissionMetrics

      const submit = Effect.fn("Ingest.submit")(function* (request: SubmissionRequest) {
        yield* auth.logger(request.authorization)
        const encoding = Effect.fnUntraced(function* (submission: Submission) {
          yield* quotas.submission(submission, request.isLocal ? undefined : request.client)
          return { submission, ...(yield* encode.blocks(submission)) }
        })
        const { blocks, receipt: digest, submission } = yield* decode.withSubmission(request.body, encoding)
        const client = mask.address(request.client)
        const appended = yield* write.blocks(blocks)
        if (appended.includes("erased")) return yield* erased
        metrics.stored(submission, blocks, appended)
        const receipt: Receipt = {
          processed: submission.processed,
          rejected: submission.rejected,
          fieldsDropped: submission.fieldsDropped,
          duplicate: appended.length > 0 && appended.every((outcome) => outcome === "duplicate"),
          receipt: digest,
          verdicts: submission.verdicts
        }
        yield* logStored(client, receipt)
        return receipt
      })
      return { submit: (request) => Effect.onExit(submit(request), metrics.ended) }
    })
  )
}

const erased = new InstallationErased({
  detail: "The data of this installation has been erased on request, and no more of it is stored"
})

/** Counts and our own digest only: nothing that was submitted. */
const logStored = (client: MaskedIp, { verdicts: _, ...counts }: Receipt) =>
  Effect.logInfo(counts.processed === 0 ? "submission without a record to store" : "submission stored", {
    client,
    ...counts
  })
