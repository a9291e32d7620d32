import type { Effect } from "effect"
import type { Mode } from "../domain/Mode.js"

/** How far a training is: for people. Several models are fitted and judged, so each step says which one it is about. */
export type Progress =
  | { readonly step: "loading"; readonly done: number; readonly total: number; readonly records: number }
  /** Of the baseline (`Whitening`), mode by mode: `done` of them are behind it. */
  | {
      readonly step: "deriving features" | "fitting baseline"
      readonly done: number
      readonly total: number
      readonly mode: Mode
    }
  /** Homes read again: to fit `subject` to them, or to try it on them. */
  | {
      readonly step: "fitting" | "judging"
      /** As it stands in a sentence: "the model". */
      readonly subject: string
      readonly done: number
      readonly total: number
    }

export type OnProgress = (progress: Progress) => Effect.Effect<void>
