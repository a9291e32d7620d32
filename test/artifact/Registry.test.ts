import { createHash, randomBytes } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Either, Option, Redacted } from "effect"
import { openModel } from "../../src/artifact/Envelope.js"
import { tryLock, waitForLock } from "../../src/artifact/ModelLock.js"
import { publish, rollback } from "../../src/artifact/Publish.js"
import { communityModel, listVersions, Registry } from "../../src/artifact/Registry.js"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { makeModelKeys } from "../../src/ModelKeys.js"
import { residualPipeline } from "../support/pipelines.js"
import { runProgram } from "../support/program.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-registry-"))
afterAll(() => rmSync(root, { recursive: true }))
const fresh = () => mkdtempSync(join(root, "case-"))
const made = makeModelKeys()
const keys = { encryption: Redacted.make(made.encryption), signing: Option.none() }

const publishOne = (directory: string, name: string, content: string, keep = 3) =>
  publish(
    { name, pickle: Buffer.from(content), gate: "passed", metadata: { content }, metrics: null },
    { directory, keys, keep }
  )
const inRegistry = <A, E>(directory: string, body: (registry: Registry["Type"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Registry, body).pipe(Effect.provide(Registry.layer(directory)))
const contentOf = (file: string) =>
  Either.getOrThrow(openModel(readFileSync(file, "utf8"), keys.encryption)).pickle.toString()
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex")

describe("the registry", () => {
  const check = (
    title: string,
    body: (directory: string) => Effect.Effect<unknown, unknown, NodeContext.NodeContext>
  ) => it.live(title, () => Effect.suspend(() => body(fresh())).pipe(Effect.provide(NodeContext.layer)))

  check("gives a model by any spelling, the community's to others, and none while nothing is published", (directory) =>
    inRegistry(directory, (registry) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* registry.list, [])
        assert.isTrue(Option.isNone(yield* registry.find("AERO SLM")))
        yield* publishOne(directory, "AERO SLM", "one")
        const one = Option.getOrThrow(yield* registry.find("AERO SLM"))
        assert.strictEqual(contentOf(one.file), "one")
        assert.strictEqual(one.sha256, sha256(readFileSync(one.file)))
        assert.deepInclude(one, {
          name: "AERO_SLM",
          filename: "AERO_SLM.enc",
          sizeBytes: readFileSync(one.file).length
        })
        assert.strictEqual(Option.getOrThrow(yield* registry.find("AERO_SLM")), one)
        assert.isTrue(Option.isNone(yield* registry.find("OTHER")))
        yield* publishOne(directory, communityModel, "all")
        assert.strictEqual(contentOf(Option.getOrThrow(yield* registry.find("OTHER")).file), "all")
        assert.lengthOf(yield* registry.list, 2)
      }).pipe(Effect.provide(NodeContext.layer))
    )
  )

  check("sees what another program publishes, and keeps as many versions as it should", (directory) =>
    inRegistry(directory, (registry) =>
      Effect.gen(function* () {
        for (const content of ["1", "2", "3", "4", "5"]) {
          yield* publishOne(directory, "X", content)
          assert.strictEqual(contentOf(Option.getOrThrow(yield* registry.find("X")).file), content)
          yield* Effect.sleep(2)
        }
        assert.lengthOf(readdirSync(join(directory, "versions", "X.enc")), 3)
        const back = yield* rollback(directory, "X", Option.none())
        assert.strictEqual(contentOf(Option.getOrThrow(yield* registry.find("X")).file), "4")
        yield* rollback(directory, "X", Option.none())
        assert.strictEqual(contentOf(join(directory, "X.enc")), "3")
        assert.include((yield* Effect.flip(rollback(directory, "X", Option.none()))).message, "no earlier version")
        assert.include((yield* Effect.flip(rollback(directory, "X", Option.some("../X.enc")))).message, "no version")
        yield* rollback(directory, "X", Option.fromNullable(back.from))
        assert.strictEqual(contentOf(join(directory, "X.enc")), "5")
      }).pipe(Effect.provide(NodeContext.layer))
    )
  )

  check("publishes the same model once, and again when the key has changed or its version is damaged", (directory) =>
    Effect.gen(function* () {
      const first = yield* publishOne(directory, "X", "same")
      assert.deepStrictEqual(yield* publishOne(directory, "X", "same"), { ...first, isNew: false })
      const versions = () => readdirSync(join(directory, "versions", "X.enc")).length
      assert.strictEqual(versions(), 1)
      yield* Effect.sleep(2)
      const other = { encryption: Redacted.make(makeModelKeys().encryption), signing: Option.none() }
      const pickle = Buffer.from("same")
      yield* publish(
        { name: "X", pickle, gate: "passed", metadata: null, metrics: null },
        { directory, keep: 3, keys: other }
      )
      assert.strictEqual(versions(), 2)
      assert.isTrue(Either.isRight(openModel(readFileSync(join(directory, "X.enc"), "utf8"), other.encryption)))
    })
  )

  check("serves files put there by hand, and nothing that is no model file", (directory) =>
    inRegistry(directory, (registry) =>
      Effect.gen(function* () {
        writeFileSync(join(directory, "AERO_SLM.enc"), "by hand")
        writeFileSync(join(directory, "AERO_SLM.pkl"), "a pickle")
        mkdirSync(join(directory, "folder.enc"))
        writeFileSync(join(directory, "a;b.enc"), "odd")
        symlinkSync("nowhere", join(directory, "dangling.enc"))
        assert.deepStrictEqual(
          (yield* registry.list).map(({ name }) => name),
          ["AERO_SLM"]
        )
        const before = Option.getOrThrow(yield* registry.find("AERO SLM"))
        assert.deepInclude(before, { sha256: sha256(Buffer.from("by hand")), sizeBytes: 7, manifest: undefined })
        writeFileSync(join(directory, "AERO_SLM.enc"), "by hand again")
        const after = Option.getOrThrow(yield* registry.find("AERO SLM"))
        assert.strictEqual(after.sha256, sha256(Buffer.from("by hand again")))
        unlinkSync(join(directory, "AERO_SLM.enc"))
        assert.isTrue(Option.isNone(yield* registry.find("AERO SLM")))
      })
    )
  )

  check("stays within its directory whatever a model is called", (directory) =>
    inRegistry(join(directory, "models"), (registry) =>
      Effect.gen(function* () {
        writeFileSync(join(directory, "secret.enc"), "secret")
        for (const name of ["..", ".", "...", ".enc", " ", "(a) b.c-d_e"])
          yield* publishOne(join(directory, "models"), name, name)
        assert.sameMembers(readdirSync(directory), ["secret.enc", "models"])
        for (const name of ["../secret", "..", "/etc/passwd", "..%2fsecret", "secret\0", "a\n", "", "é"]) {
          const found = yield* registry.find(name)
          if (Option.isSome(found)) assert.strictEqual(contentOf(found.value.file), name)
        }
      }).pipe(Effect.provide(NodeContext.layer))
    )
  )

  check("lets one program at a time hold a lock, whose end frees it", (directory) =>
    Effect.gen(function* () {
      const file = join(directory, "lock")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* tryLock(file)
          assert.include((yield* Effect.flip(Effect.scoped(tryLock(file)))).message, "another process")
        })
      )
      yield* Effect.scoped(tryLock(file))
    })
  )

  check("a lock that nobody can hold says why, at once", (directory) =>
    Effect.gen(function* () {
      const file = join(directory, "text", "lock")
      writeFileSync(join(directory, "text"), "no directory")
      for (const attempt of [tryLock, waitForLock]) {
        const error = yield* Effect.flip(Effect.scoped(attempt(file)))
        assert.strictEqual(error._tag, "LockUnusable")
        assert.match(error.message, /^cannot lock .*lock: .*unable to open/i)
      }
      mkdirSync(join(directory, ".publish.lock"))
      const failed = yield* Effect.flip(publishOne(directory, "X", "content"))
      assert.match(failed.message, /^cannot publish X in MODEL_DIR: cannot lock .*\.publish\.lock: .*unable to open/i)
    })
  )

  check("versions that cannot be listed are not none", (directory) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* listVersions(directory, "X"), [])
      mkdirSync(join(directory, "versions"))
      writeFileSync(join(directory, "versions", "X.enc"), "no directory")
      const error = yield* Effect.flip(listVersions(directory, "X"))
      assert.match(error.message, /^cannot list the versions of X in MODEL_DIR: .*ENOTDIR/)
    })
  )
})

describe("telemetry models", () => {
  const pipeline = residualPipeline(1)
  const pickle = writeModel({ heating: pipeline, cooling: pipeline, water: pipeline, standby: pipeline })
  const metadata = { model: "AERO_SLM", sha256: sha256(Buffer.from(pickle)), data: { fingerprint: "f" } }
  const environment = { TELEMETRY_ENCRYPTION_KEY: made.encryption, MODEL_SIGNING_KEY: made.signing }

  it("publishes what has passed its gate, says what it did, and goes back", async () => {
    const directory = fresh()
    const file = join(directory, "AERO_SLM.pkl")
    writeFileSync(file, pickle)
    const models = (args: ReadonlyArray<string>, more: Readonly<Record<string, string>> = environment) =>
      runProgram(["models", ...args], { MODEL_DIR: directory, ...more })
    const publishIt = (...args: ReadonlyArray<string>) => models(["publish", "--file", file, ...args])

    const keyless = await models(["publish", "--file", file, "--no-gate"], {})
    assert.strictEqual(keyless.code, 2)
    assert.match(keyless.stderr, /^error: TELEMETRY_ENCRYPTION_KEY is not set.*telemetry keygen\n$/)
    writeFileSync(join(directory, "AERO_SLM_metadata.json"), JSON.stringify(metadata))
    const metrics = (failed: ReadonlyArray<string>, fingerprint = "f") =>
      writeFileSync(join(directory, "metrics.json"), JSON.stringify({ fingerprint, failed_criteria: failed }))
    metrics(["heating: 3.00 false alarms per heat pump and week, at most 0.5 are allowed"])
    const failed = await publishIt()
    assert.strictEqual(failed.code, 3)
    assert.include(failed.stderr, "3.00 false alarms")
    metrics([], "of other data")
    const unjudged = await publishIt()
    assert.strictEqual(unjudged.code, 3)
    assert.include(unjudged.stderr, "has not been evaluated")
    assert.isFalse(existsSync(join(directory, "versions")))
    metrics([])
    const done = await publishIt("--community")
    assert.strictEqual(done.code, 0, done.stderr)
    assert.match(done.stdout, /^AERO_SLM: published, \d{8}T\d{9}Z-[0-9a-f]{12}\ncommunity_model: published, /)
    assert.deepStrictEqual(
      Either.getOrThrow(openModel(readFileSync(join(directory, "AERO_SLM.enc"), "utf8"), keys.encryption)).pickle,
      Buffer.from(pickle)
    )
    const listed = await models(["list"])
    assert.match(
      listed.stdout,
      /^ +Model +Version +Size +Gate +Signature\n\* {2}AERO_SLM +\S+ +[\d.]+ k?B {2}passed {2}by [0-9a-f]{16}$/m
    )
    assert.strictEqual((await models(["rollback", "--model", "AERO_SLM"])).code, 1)
    writeFileSync(file, randomBytes(100))
    assert.include((await publishIt("--no-gate", "--model", "X")).stderr, "not a model that the ml-service would use")
  })
})
