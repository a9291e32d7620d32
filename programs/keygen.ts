import { Command } from "@effect/cli"
import { Console } from "effect"
import { makeModelKeys } from "../src/ModelKeys.js"

export const keygen = Command.make("keygen", {}, () => {
  const { encryption, signing, verifying } = makeModelKeys()
  return Console.log(
    [
      "# Encrypts models. The same in every client; keep it secret from everybody else.",
      `TELEMETRY_ENCRYPTION_KEY=${encryption}`,
      "# Signs models. Of the operator alone.",
      `MODEL_SIGNING_KEY=${signing}`,
      "# Verifies those signatures; may be known to all.",
      `# MODEL_PUBLIC_KEY=${verifying}`
    ].join("\n")
  )
}).pipe(Command.withDescription("Make the keys that models are published with. Example: telemetry keygen >> .env"))
