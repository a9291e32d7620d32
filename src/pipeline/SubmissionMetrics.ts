import { Cause, Effect, Exit, Option, Schema } from "effect"
import type { Block } from "../domain/Block.js"
import { RecordVerdictCode, type Submission } from "../domain/Submission.js"
import { Metrics, metricTable } from "../observability/Metrics.js"
import type { Appended } from "../store/Store.js"

const isOfRecord = Schema.is(RecordVerdictCode)

/** `CredentialsRefused` → `credentials_refused`. */
const wordOf = (tag: string): string => tag.replace(/(?!^)[A-Z]/g, "_$&").toLowerCase()

type Ended = Exit.Exit<{ readonly duplicate: boolean; readonly processed: number }, { readonly _tag: string }>

const resultOf = (exit: Ended): string => {
  if (Exit.isSuccess(exit)) {
    if (exit.value.processed === 0) return "nothing_stored"
    return exit.value.duplicate ? "duplicate" : "stored"
  }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) return wordOf(failure.value._tag)
  return Cause.isInterrupted(exit.cause) ? "client_gone" : "bug"
}

/** What the metrics say of submissions: how they ended, and what of them was stored. */
export const submissionMetrics = Effect.map(Metrics, (metrics) => {
  const ended = (exit: Ended) => Effect.sync(() => metrics.add(metricTable.submissions, 1, { result: resultOf(exit) }))

  const stored = (submission: Submission, blocks: ReadonlyArray<Block>, appended: ReadonlyArray<Appended>): void => {
    blocks.forEach(({ gzippedLines, records, samples }, i) => {
      if (appended[i] !== "stored") return
      metrics.add(metricTable.recordsStored, records)
      metrics.add(metricTable.samplesStored, samples)
      metrics.add(metricTable.bytesStored, gzippedLines.length)
    })
    for (const [reason, count] of submission.verdictCounts) {
      metrics.add(isOfRecord(reason) ? metricTable.recordsRejected : metricTable.samplesRejected, count, { reason })
    }
  }
  return { ended, stored }
})
