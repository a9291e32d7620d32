import { Effect } from "effect"
import { ExitCode, ProgramFailure } from "./ExitCode.js"

/** A step on files that may not be done: the failure says which, why, and what to do about it. */
export const attempt = <A>(operation: string, step: () => A, remedy?: string) =>
  Effect.try({
    try: step,
    catch: (cause) => {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const message = `cannot ${operation}: ${reason}${remedy === undefined ? "" : `; ${remedy}`}`
      return new ProgramFailure({ code: ExitCode.failed, message })
    }
  })
