import { Schema } from "effect"

/** What a submission may call its heat pump model; `\z` semantics, so a trailing newline does not match. */
const pattern = /^[A-Za-z0-9_\-. ()]{1,128}$/

export const ModelName = Schema.NonEmptyString.pipe(Schema.brand("ModelName"))
/** A heat pump model as it is stored: spaces are `_`, so `AERO SLM` and `AERO_SLM` are one model. */
export type ModelName = typeof ModelName.Type

export const unknownModel: ModelName = ModelName.make("unknown")

/** Whether a submission or query may use it; "" is no name here. */
export const isModelName = (name: string): boolean => pattern.test(name)

/** A name that `isModelName`, or "" for unknown, as it is stored. */
export const canonicalModel = (name: string): ModelName =>
  name === "" ? unknownModel : ModelName.make(name.replaceAll(" ", "_"))

/** A model name on the wire: absent, null and "" mean `unknown`. */
export const ModelNameFromWire = Schema.NullishOr(
  Schema.String.pipe(Schema.filter((name) => name === "" || isModelName(name)))
)
