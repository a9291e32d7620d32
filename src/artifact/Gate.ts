/** What an evaluation has to say before a model is published. */
import { Data, Effect } from "effect"

/** Sentences with their figures, one per criterion that fails: none when the model may be published. */
interface Judged {
  readonly failedCriteria: ReadonlyArray<string>
}

/** Undefined: nobody has judged the model. */
export type GateVerdict = Judged | undefined

/** The gate is closed. Nothing was published, and what was published before stays. */
class NotPublished extends Data.TaggedError("NotPublished")<{
  readonly model: string
  readonly reasons: ReadonlyArray<string>
}> {
  override get message() {
    return `${this.model} is not published: ${this.reasons.join("; ")}. What was published before stays; --no-gate publishes it all the same`
  }
}

/** How a model passes: `skipped` only where the operator asked for it. */
export const passGate = (model: string, verdict: GateVerdict, options: { readonly isGated: boolean }) => {
  if (!options.isGated) return Effect.succeed("skipped" as const)
  if (verdict === undefined) return new NotPublished({ model, reasons: ["it has not been evaluated"] })
  if (verdict.failedCriteria.length > 0) return new NotPublished({ model, reasons: verdict.failedCriteria })
  return Effect.succeed("passed" as const)
}
