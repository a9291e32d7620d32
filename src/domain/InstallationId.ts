import { Schema } from "effect"

const nil = "00000000-0000-0000-0000-000000000000"

/**
 * The pseudonym of one home: a UUID in lower case, whatever case the logger writes. The nil UUID is refused: it is what
 * unconfigured loggers would share, and the homes behind it could never be told apart or erased again.
 */
export const InstallationId = Schema.Lowercase.pipe(
  Schema.compose(Schema.UUID),
  Schema.filter((id) => id !== nil),
  Schema.brand("InstallationId")
)
export type InstallationId = typeof InstallationId.Type
