import type { Effect } from "effect"
import type { Mode } from "../domain/Mode.js"

/** How far a training is: for people. */
export type Progress =
  | { readonly step: "loading"; readonly done: number; readonly total: number; readonly records: number }
  | { readonly step: "deriving features"; readonly done: number; readonly total: number; readonly mode: Mode }
  | { readonly step: "fitting"; readonly done: number; readonly total: number; readonly mode: Mode }

export type OnProgress = (progress: Progress) => Effect.Effect<void>
