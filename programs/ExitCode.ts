import { ValidationError } from "@effect/cli"
import { Cause, Data, Exit, Option } from "effect"

/** How a program ends. 2 is also what the shell expects for a wrong command line. */
export const ExitCode = { done: 0, failed: 1, usage: 2, notEnoughData: 3, unreachable: 4 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** An expected end with something to say: one sentence, with the remedy. */
export class ProgramFailure extends Data.TaggedError("ProgramFailure")<{
  readonly code: ExitCode
  readonly message: string
}> {}

/** `@effect/cli` has printed these itself. */
export const isUsageError = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Cause.failureOption(cause), ValidationError.isValidationError)

export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): ExitCode =>
  Exit.match(exit, {
    onSuccess: () => ExitCode.done,
    onFailure: (cause) => {
      if (Cause.isInterruptedOnly(cause)) return ExitCode.done
      if (isUsageError(cause)) return ExitCode.usage
      const failure = Option.getOrUndefined(Cause.failureOption(cause))
      return failure instanceof ProgramFailure ? failure.code : ExitCode.failed
    }
  })
