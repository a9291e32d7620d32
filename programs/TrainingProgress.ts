import { Clock, Effect, Ref } from "effect"
import type { OnProgress, Progress } from "../src/training/Progress.js"
import { duration } from "./duration.js"
import { count, some } from "./some.js"

/** Between plain lines of one step. */
const lineEveryMs = 10_000

/** What a line is about; the next one about the same may wait. */
const subjectOf = (progress: Progress): string => {
  switch (progress.step) {
    case "loading":
      return "loading"
    case "deriving features":
      return `deriving the baseline's features, ${progress.mode}`
    case "fitting baseline":
      return `fitting the baseline, ${progress.mode}`
    case "fitting":
    case "judging":
      return `${progress.step} ${progress.subject}`
  }
}

const sentence = (progress: Progress, seconds: number): string => {
  const { done, total } = progress
  switch (progress.step) {
    case "deriving features":
    case "fitting baseline":
      return `${subjectOf(progress)} (${done + 1} of ${total})`
    case "fitting":
      return `${subjectOf(progress)}: ${done} of ${total} homes read`
    case "judging":
      return `${subjectOf(progress)}: ${done} of ${total} homes`
    case "loading": {
      const rate = progress.records / Math.max(seconds, 0.001)
      const left = done === total ? "" : `, ${duration(Math.ceil((seconds / done) * (total - done)))} left`
      return `loading: ${done} of ${some(total, "installation")}, ${some(progress.records, "record")}, ${count.format(Math.round(rate))}/s${left}`
    }
  }
}

/** On a terminal one line that is written over; elsewhere plain lines, not too many of them. */
export const trainingProgress = Effect.gen(function* () {
  const startMs = yield* Clock.currentTimeMillis
  const last = yield* Ref.make({ subject: "", atMs: startMs })
  const isTerminal = process.stderr.isTTY === true
  const report: OnProgress = (progress) =>
    Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const text = sentence(progress, (nowMs - startMs) / 1000)
      if (isTerminal) {
        process.stderr.write(`\r\u001b[K${text}`)
        return
      }
      const subject = subjectOf(progress)
      const before = yield* Ref.get(last)
      const isDue = subject !== before.subject || nowMs - before.atMs >= lineEveryMs
      if (progress.done < progress.total && !isDue) return
      yield* Ref.set(last, { subject, atMs: nowMs })
      process.stderr.write(`${text}\n`)
    })
  /** Leaves the terminal's cursor on a line of its own. */
  const end = Effect.sync(() => {
    if (isTerminal) process.stderr.write("\r\u001b[K")
  })
  return { report, end }
})

export const noProgress = { report: (() => Effect.void) as OnProgress, end: Effect.void }
