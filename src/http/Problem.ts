import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

/** Every error body: one sentence for people. Nothing that was submitted, no trace, no internal address. */
export const Problem = Schema.Struct({
  detail: Schema.String.annotations({ examples: ["The token is not valid for this request"] })
}).annotations({ identifier: "Problem" })

/** The same with its status, for the contract. */
export const problemWith = (status: number, description: string) =>
  Problem.annotations({ ...HttpApiSchema.annotations({ status, description }) })
