import { randomBytes } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Effect, Option, Redacted } from "effect"
import type { Tokens } from "./pipeline/Auth.js"
import { readSecret, SettingInvalid } from "./Secrets.js"
import * as Settings from "./Settings.js"

const minLength = 16
const placeholder = "change-me-to-something-secure"
const remedy = "; make one with: openssl rand -base64 32"

const checkToken = (setting: string, token: string) => {
  const refuse = (reason: string) => new SettingInvalid({ setting, reason: reason + remedy })
  if (token === placeholder) return refuse("still holds the placeholder of the template")
  if (token.length < minLength) return refuse(`holds a token shorter than ${minLength} characters`)
  return /\s/.test(token) ? refuse("holds a token with white space in it") : Effect.succeed(Redacted.make(token))
}

/** The comma list of `NAME`, or of the file that `NAME_FILE` names. */
const configured = Effect.fn("AccessTokens.configured")(function* (name: string) {
  const secret = yield* readSecret(name)
  if (Option.isNone(secret)) return []
  const { setting, value } = secret.value
  const tokens = Redacted.value(value)
    .split(",")
    .map((token) => token.trim())
    .filter((token) => token !== "")
  if (tokens.length === 0) return yield* new SettingInvalid({ setting, reason: `holds no token${remedy}` })
  return yield* Effect.forEach(tokens, (token) => checkToken(setting, token))
})

const tokenFile = (dataDir: string) => Effect.map(Path.Path, (path) => path.join(dataDir, "auth-token"))

/** The token kept in `DATA_DIR`, made at the first start. */
const kept = Effect.fn("AccessTokens.kept")(function* (dataDir: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* tokenFile(dataDir)
  if (!(yield* fs.exists(file))) {
    // Beside its place first: half a token, all that a full disk or a power cut leaves, would be refused at every
    // start.
    const writing = `${file}.writing`
    yield* Effect.scoped(
      Effect.gen(function* () {
        const open = yield* fs.open(writing, { flag: "w", mode: 0o600 })
        yield* open.writeAll(Buffer.from(`${randomBytes(32).toString("base64url")}\n`))
        yield* open.sync
      })
    )
    yield* fs.rename(writing, file)
    yield* Effect.logInfo("made a token for loggers, because AUTH_TOKEN is not set", { file })
  }
  return yield* checkToken(file, (yield* fs.readFileString(file)).trim())
})

/** The tokens that `serve` accepts. */
export const serverTokens = Effect.fn("AccessTokens.serverTokens")(function* (dataDir: string) {
  const logger = yield* configured(Settings.authToken)
  const admin = yield* configured(Settings.adminToken)
  const tokens: Tokens = { logger: logger.length > 0 ? logger : [yield* kept(dataDir)], admin }
  return tokens
})

/** The token with which a command asks a server: the operator's, a logger's, or the one in `DATA_DIR`. */
export const operatorToken = Effect.fn("AccessTokens.operatorToken")(function* (dataDir: string) {
  const fs = yield* FileSystem.FileSystem
  const [token] = [...(yield* configured(Settings.adminToken)), ...(yield* configured(Settings.authToken))]
  if (token !== undefined) return token
  const file = yield* tokenFile(dataDir)
  return yield* fs.readFileString(file).pipe(
    Effect.map((text) => Redacted.make(text.trim())),
    Effect.mapError(
      () =>
        new SettingInvalid({
          setting: "--token",
          reason: `is missing: neither ADMIN_TOKEN nor AUTH_TOKEN is set, and ${file} cannot be read (see DATA_DIR)`
        })
    )
  )
})
