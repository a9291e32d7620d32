import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Redacted } from "effect"
import { operatorToken, serverTokens } from "../src/AccessTokens.js"
import { SettingInvalid } from "../src/Secrets.js"
import { canMount, fillDisk, smallDisk } from "./support/smallDisk.js"
import { captureLogs } from "./support/testServer.js"

const first = "first-token-0123456789"
const second = "second-token-0123456789"
const placeholder = "change-me-to-something-secure"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-tokens-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** A file with that content, for the life of the scope. */
const fileWith = (text: string) =>
  Effect.map(directory, (path) => {
    const file = join(path, "secret")
    writeFileSync(file, text)
    return file
  })

const withSettings =
  (settings: Readonly<Record<string, string>>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(settings)))),
      Effect.provide(NodeContext.layer)
    )

const tokensWith = (settings: Readonly<Record<string, string>>, dataDir = "/nonexistent") =>
  serverTokens(dataDir).pipe(
    Effect.map(({ admin, logger }) => ({ admin: admin.map(Redacted.value), logger: logger.map(Redacted.value) })),
    withSettings(settings)
  )

const operatorWith = (settings: Readonly<Record<string, string>>, dataDir = "/nonexistent") =>
  operatorToken(dataDir).pipe(Effect.map(Redacted.value), withSettings(settings))

/** The sentence with which the program would refuse to start. */
const refusal = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, SettingInvalid)
    return error instanceof SettingInvalid ? error.message : ""
  })

it.effect.each<readonly [text: string, logger: ReadonlyArray<string>]>([
  [first, [first]],
  [`${first},${second}`, [first, second]],
  [` ${first} ,, ${second} ,`, [first, second]]
])("AUTH_TOKEN %j is the list of what loggers may send", ([text, logger]) =>
  Effect.gen(function* () {
    const expected = { admin: [], logger: [...logger!] }
    assert.deepStrictEqual(yield* tokensWith({ AUTH_TOKEN: String(text) }), expected)
  })
)

it.scoped("AUTH_TOKEN_FILE and ADMIN_TOKEN_FILE hold the same as the settings, with a newline at the end", () =>
  Effect.gen(function* () {
    const AUTH_TOKEN_FILE = yield* fileWith(`${first},${second}\n`)
    const ADMIN_TOKEN_FILE = yield* fileWith("admin-token-0123456789\r\n")
    assert.deepStrictEqual(yield* tokensWith({ AUTH_TOKEN_FILE, ADMIN_TOKEN_FILE }), {
      admin: ["admin-token-0123456789"],
      logger: [first, second]
    })
  })
)

it.effect.each(["AUTH_TOKEN", "ADMIN_TOKEN"])("%s and its file together are refused, naming both", (name) =>
  Effect.gen(function* () {
    const message = yield* refusal(
      tokensWith({ AUTH_TOKEN: first, [name]: second, [`${name}_FILE`]: "/nonexistent/file" })
    )
    assert.include(message, `${name} and ${name}_FILE`)
    assert.notInclude(message, second)
  })
)

it.effect.each<readonly [token: string, reason: RegExp]>([
  [placeholder, /placeholder/],
  [`${first},${placeholder}`, /placeholder/],
  ["x", /shorter than 16 characters/],
  ["fifteen-letters", /shorter than 16 characters/],
  [`${first},fifteen-letters`, /shorter than 16 characters/],
  ["two words 0123456789", /white space/],
  [`${first}\n${second}`, /white space/]
])("a token that cannot be meant is refused, naming the setting and not the token: %j", ([token, reason]) =>
  Effect.gen(function* () {
    const text = String(token)
    const file = yield* fileWith(text)
    for (const [settings, name] of [
      [{ AUTH_TOKEN: text }, "AUTH_TOKEN"],
      [{ AUTH_TOKEN: first, ADMIN_TOKEN: text }, "ADMIN_TOKEN"],
      [{ AUTH_TOKEN_FILE: file }, "AUTH_TOKEN_FILE"],
      [{ AUTH_TOKEN: first, ADMIN_TOKEN_FILE: file }, "ADMIN_TOKEN_FILE"]
    ] as const) {
      const message = yield* refusal(tokensWith(settings))
      assert.isTrue(message.startsWith(`${name} `), message)
      assert.match(message, reason as RegExp)
      if (text !== "x") assert.notInclude(message, text)
      assert.include(message, "openssl rand")
    }
  }).pipe(Effect.scoped)
)

it.effect("16 characters are enough", () =>
  Effect.map(tokensWith({ AUTH_TOKEN: "sixteen-letters!" }), ({ logger }) =>
    assert.deepStrictEqual(logger, ["sixteen-letters!"])
  )
)

it.effect("a token file that cannot be read stops the start, naming its setting", () =>
  Effect.gen(function* () {
    const message = yield* refusal(tokensWith({ AUTH_TOKEN_FILE: "/nonexistent/token" }))
    assert.match(message, /^AUTH_TOKEN_FILE cannot be read: /)
  })
)

it.scoped("without AUTH_TOKEN a token is made once, kept for its owner alone, and never logged", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const logs = captureLogs()
    const start = tokensWith({}, dataDir).pipe(Effect.provide(logs.layer))
    const made = yield* start
    const file = join(dataDir, "auth-token")
    assert.strictEqual(statSync(file).mode & 0o777, 0o600)
    assert.deepStrictEqual(made, { admin: [], logger: [readFileSync(file, "utf8").trim()] })
    assert.match(made.logger[0]!, /^[A-Za-z0-9_-]{43}$/)
    assert.deepStrictEqual(yield* start, made)
    assert.lengthOf(logs.lines, 1)
    assert.include(logs.lines[0], file)
    assert.notInclude(logs.lines[0], made.logger[0]!)
    const other = yield* tokensWith({}, yield* directory)
    assert.notStrictEqual(other.logger[0], made.logger[0])
  })
)

it.scoped("with AUTH_TOKEN set no token is made, and a kept one does not open anything", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    yield* tokensWith({ AUTH_TOKEN: first }, dataDir)
    assert.isFalse(existsSync(join(dataDir, "auth-token")))
    writeFileSync(join(dataDir, "auth-token"), second)
    assert.deepStrictEqual((yield* tokensWith({ AUTH_TOKEN: first }, dataDir)).logger, [first])
  })
)

it.scoped("a kept token that somebody cut or replaced by the placeholder stops the start, naming the file", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const file = join(dataDir, "auth-token")
    for (const text of ["", "short\n", `${placeholder}\n`]) {
      writeFileSync(file, text)
      assert.include(yield* refusal(tokensWith({}, dataDir)), file)
    }
    chmodSync(file, 0o600)
  })
)

it.scoped("commands ask with the operator's token, or a logger's, or the kept one", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const kept = (yield* tokensWith({}, dataDir)).logger[0]!
    assert.strictEqual(yield* operatorWith({}, dataDir), kept)
    assert.strictEqual(yield* operatorWith({ AUTH_TOKEN: `${first},${second}` }, dataDir), first)
    const ADMIN_TOKEN = "admin-token-0123456789"
    assert.strictEqual(yield* operatorWith({ ADMIN_TOKEN }, dataDir), ADMIN_TOKEN)
    assert.strictEqual(yield* operatorWith({ AUTH_TOKEN: first, ADMIN_TOKEN }, dataDir), ADMIN_TOKEN)
    const message = yield* refusal(operatorWith({}, join(dataDir, "elsewhere")))
    for (const name of ["--token", "ADMIN_TOKEN", "AUTH_TOKEN", "DATA_DIR"]) assert.include(message, name)
  })
)

it.scopedLive.runIf(canMount)(
  "a full disk at the first start leaves no half token: there is one once there is room",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* Effect.flatMap(directory, smallDisk)
      const ballast = join(dataDir, "ballast")
      fillDisk(ballast)
      assert.include(String(yield* Effect.flip(tokensWith({}, dataDir))), "ENOSPC")
      rmSync(ballast)
      const { logger } = yield* tokensWith({}, dataDir)
      assert.match(logger[0]!, /^[A-Za-z0-9_-]{43}$/)
      assert.strictEqual(statSync(join(dataDir, "auth-token")).mode & 0o777, 0o600)
      assert.deepStrictEqual((yield* tokensWith({}, dataDir)).logger, logger)
    })
)
