/**
 * Who may download without saying for whom: existing clients check with their id and download without it, from the same
 * address a moment later.
 *
 * Addresses are not kept: only their HMAC under a key that was made at the start and is nowhere else. Nothing outlives
 * `lifetime` by more than the next grant, and there are at most `mostGrants`, of which the oldest goes first.
 */
import { createHmac, randomBytes } from "node:crypto"
import { Clock, Context, Duration, Effect, Layer, Option, Redacted } from "effect"
import type { RawAddress } from "../domain/Address.js"

const lifetime = Duration.minutes(15)
const mostGrants = 100_000

export class Grants extends Context.Tag("telemetry/pipeline/Grants")<
  Grants,
  {
    /** Replaces what the address was granted before. */
    readonly give: (address: RawAddress, model: string) => Effect.Effect<void>
    /** The model that the address may download now. */
    readonly look: (address: RawAddress) => Effect.Effect<Option.Option<string>>
  }
>() {
  static readonly layer = Layer.sync(this, () => {
    const salt = randomBytes(32)
    const digest = (address: RawAddress) => createHmac("sha256", salt).update(Redacted.value(address)).digest("base64")
    /** In order of expiry. */
    const granted = new Map<string, { readonly model: string; readonly expiresMs: number }>()
    return {
      give: (address, model) =>
        Effect.map(Clock.currentTimeMillis, (nowMs) => {
          const key = digest(address)
          granted.delete(key)
          granted.set(key, { model, expiresMs: nowMs + Duration.toMillis(lifetime) })
          for (const [oldest, { expiresMs }] of granted) {
            if (expiresMs > nowMs && granted.size <= mostGrants) break
            granted.delete(oldest)
          }
        }),
      look: (address) =>
        Effect.map(Clock.currentTimeMillis, (nowMs) =>
          Option.fromNullable(granted.get(digest(address))).pipe(
            Option.filter(({ expiresMs }) => expiresMs > nowMs),
            Option.map(({ model }) => model)
          )
        )
    }
  })
}
