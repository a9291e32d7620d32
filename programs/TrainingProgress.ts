import { Clock, Effect, Ref } from "effect"
import type { OnProgress, Progress } from "../src/training/Progress.js"

const count = new Intl.NumberFormat("en")
/** Between plain lines while loading. */
const lineEveryMs = 10_000

/** For people: "12 s", "3 min 5 s". */
export const time = (seconds: number): string =>
  seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`

const sentence = (progress: Progress, seconds: number): string => {
  const { done, total } = progress
  switch (progress.step) {
    case "fitting homes":
    case "judging homes":
      return `${progress.step}: ${done} of ${total}`
    case "deriving features":
    case "fitting":
      return `${progress.step} of ${progress.mode} (${done + 1} of ${total})`
    case "loading": {
      const rate = progress.records / Math.max(seconds, 0.001)
      const left = done === total ? "" : `, ${time((seconds / done) * (total - done))} left`
      return `loading: ${done} of ${total} installations, ${count.format(progress.records)} records, ${count.format(Math.round(rate))}/s${left}`
    }
  }
}

/** On a terminal one line that is written over; elsewhere plain lines, not too many of them. */
export const trainingProgress = Effect.gen(function* () {
  const startMs = yield* Clock.currentTimeMillis
  const lastMs = yield* Ref.make(startMs)
  const isTerminal = process.stderr.isTTY === true
  const report: OnProgress = (progress) =>
    Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const text = sentence(progress, (nowMs - startMs) / 1000)
      if (isTerminal) {
        process.stderr.write(`\r\u001b[K${text}`)
        return
      }
      const isDue = nowMs - (yield* Ref.get(lastMs)) >= lineEveryMs
      if (progress.step === "loading" && progress.done < progress.total && !isDue) return
      yield* Ref.set(lastMs, nowMs)
      process.stderr.write(`${text}\n`)
    })
  /** Leaves the terminal's cursor on a line of its own. */
  const end = Effect.sync(() => {
    if (isTerminal) process.stderr.write("\r\u001b[K")
  })
  return { report, end }
})

export const noProgress = { report: (() => Effect.void) as OnProgress, end: Effect.void }
