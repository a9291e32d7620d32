import { ValidationError } from "@effect/cli"
import { Cause, ConfigError, Context, Data, Exit, MutableRef, Option } from "effect"
import { SettingInvalid } from "../src/Secrets.js"

/** How a program ends. 2 is also what the shell expects for a wrong command line. */
export const ExitCode = { done: 0, failed: 1, usage: 2, notEnoughData: 3, unreachable: 4, interrupted: 130 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** An expected end with something to say: one sentence, with the remedy. */
export class ProgramFailure extends Data.TaggedError("ProgramFailure")<{
  readonly code: ExitCode
  readonly message: string
}> {}

/** `@effect/cli` has printed these itself. */
export const isPrinted = (error: unknown): boolean => ValidationError.isValidationError(error)

/** A wrong setting is wrong usage, whether it came by an option or by the environment. */
const isUsageError = (error: unknown): boolean =>
  isPrinted(error) || ConfigError.isConfigError(error) || error instanceof SettingInvalid

/** Set by a command that waits for ever, and so ends by being stopped. */
export class RunsUntilStopped extends Context.Reference<RunsUntilStopped>()("telemetry/programs/RunsUntilStopped", {
  defaultValue: () => MutableRef.make(false)
}) {}

/** `whenInterrupted`: to be stopped is how a server ends, and for other commands to end before they are done. */
export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>, whenInterrupted: ExitCode): ExitCode =>
  Exit.match(exit, {
    onSuccess: () => ExitCode.done,
    onFailure: (cause) => {
      if (Cause.isInterruptedOnly(cause)) return whenInterrupted
      const failure = Option.getOrUndefined(Cause.failureOption(cause))
      if (isUsageError(failure)) return ExitCode.usage
      return failure instanceof ProgramFailure ? failure.code : ExitCode.failed
    }
  })

/** What to tell people of an expected failure: one sentence; undefined for a mistake of ours. */
export const sentenceOf = (failure: unknown): string | undefined => {
  if (ConfigError.isConfigError(failure)) return String(failure).replace(/^\((.*)\)$/s, "$1")
  return failure instanceof Error ? failure.message : undefined
}
