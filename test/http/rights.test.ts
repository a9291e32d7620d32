import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { trainedHomes } from "../../src/artifact/TrainedHomes.js"
import { Status } from "../../src/http/Api.js"
import { ErasureReceipt, InstallationList } from "../../src/http/RightsApi.js"
import { blockOf } from "../support/blocks.js"
import { numbersIn, sentBody } from "../support/payloads.js"
import { runProgram } from "../support/program.js"
import {
  accepted,
  baseUrl,
  captureLogs,
  layerTestServer,
  newHome,
  post,
  stored,
  testToken
} from "../support/testServer.js"

const adminToken = "an-admin-token-of-the-tests-456"
const strict = { onExcessProperty: "error" } as const
const decodeReceipt = Schema.decodeUnknownSync(Schema.parseJson(ErasureReceipt), strict)
const decodeList = Schema.decodeUnknownSync(Schema.parseJson(InstallationList), strict)
const decodeStatus = Schema.decodeUnknownSync(Schema.parseJson(Status), strict)

/** Asks as an operator does. */
const ask = (path: string, body?: unknown, token = adminToken) =>
  Effect.flatMap(baseUrl, (base) =>
    Effect.promise(async () => {
      const response = await fetch(base + path, {
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      return { status: response.status, headers: response.headers, text: await response.text() }
    })
  )
const erase = (installation_id: string, others: Readonly<Record<string, boolean>> = {}) =>
  Effect.map(ask("/api/v1/installations/erase", { installation_id, ...others }), ({ status, text }) => {
    assert.strictEqual(status, 200, text)
    return decodeReceipt(text)
  })
const list = Effect.map(ask("/api/v1/installations"), ({ text }) => decodeList(text))

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-rights-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
const serving =
  (dataDir: string, logs?: ReturnType<typeof captureLogs>["layer"]) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provide(effect, layerTestServer({ DATA_DIR: dataDir, ADMIN_TOKEN: adminToken }, logs))

const nowSeconds = Date.now() / 1000
const home = (value: number) =>
  newHome(
    Array.from({ length: 40 }, (_, i) => ({ timestamp: nowSeconds - i, temp_outside: value, canary: value + i / 8 }))
  )

/** Whether the id, or the blocks' compressed bytes, are anywhere in the directory. */
const isIn = (dataDir: string, id: string, compressed: ReadonlyArray<Buffer>) => {
  const bytes = Buffer.concat(
    readdirSync(dataDir, { withFileTypes: true })
      .filter((e) => e.isFile())
      .map(({ name }) => readFileSync(join(dataDir, name)))
  )
  return [Buffer.from(id), ...compressed].some((trace) => bytes.includes(trace))
}
it.scopedLive("exports are what was sent, as JSON lines and as CSV, and hold nothing of anybody else", () =>
  Effect.gen(function* () {
    yield* accepted(home(1.5))
    const { body, installationId } = sentBody("nested500")
    yield* accepted(body)
    const jsonl = yield* ask("/api/v1/installations/export", { installation_id: installationId })
    assert.deepStrictEqual([jsonl.status, jsonl.headers.get("content-type")], [200, "application/x-ndjson"])
    const sent = numbersIn(body)
    assert.deepStrictEqual(
      jsonl.text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
      sent.map(({ tags, timestampMs, values }) => ({ timestamp: timestampMs / 1000, tags, values }))
    )
    const csv = yield* ask("/api/v1/installations/export", {
      installation_id: installationId.toUpperCase(),
      format: "csv"
    })
    const [heading, ...rows] = csv.text.trimEnd().split("\r\n")
    assert.strictEqual(heading, "timestamp,time_utc,model,version,heatpump_id,manufacturer,sensor,value")
    assert.deepStrictEqual(
      rows.map((row) => row.split(",").toSpliced(1, 1)),
      sent.flatMap(({ tags, timestampMs, values }) =>
        Object.entries(values).map(([sensor, value]) =>
          [timestampMs / 1000, tags.model, tags.version, "hp-7c1e09ab", "idm", sensor, value].map(String)
        )
      )
    )
    const nobody = yield* ask("/api/v1/installations/export", {
      installation_id: "3f2b8c1e-9a47-4d0e-8b65-000000000000"
    })
    assert.deepStrictEqual([nobody.status, nobody.text], [200, ""])
  }).pipe(Effect.provide(layerTestServer({ ADMIN_TOKEN: adminToken })))
)

it.scopedLive(
  "erased is erased: from the files, for late uploads, and from a restored backup; its neighbours stay",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const [canary, neighbour] = [home(21.25), home(-3.5)]
      const file = join(dataDir, "telemetry.sqlite")
      const backup = join(dataDir, "..", `${dataDir.split("/").at(-1)}.backup`)
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(backup, { force: true })))
      const before = yield* Effect.gen(function* () {
        yield* accepted(canary)
        yield* accepted(neighbour)
        return yield* stored(neighbour.installation_id)
      }).pipe(serving(dataDir))
      copyFileSync(file, backup)
      const { gzippedLines, sha256 } = yield* Effect.promise(() => blockOf(canary, Date.now()))
      const traces = [sha256, gzippedLines.subarray(100, 140)]
      for (const trace of traces) assert.isTrue(readFileSync(file).includes(trace))
      assert.isTrue(isIn(dataDir, canary.installation_id, traces))

      const logs = captureLogs()
      yield* Effect.gen(function* () {
        assert.deepInclude(yield* erase(canary.installation_id, { dry_run: true }), {
          is_dry_run: true,
          records: 40,
          samples: 80,
          blocks: null
        })
        assert.strictEqual((yield* stored(canary.installation_id)).length, 40, "a dry run does nothing")
        assert.deepInclude(yield* erase(canary.installation_id), {
          is_dry_run: false,
          records: 40,
          samples: 80,
          blocks: 1,
          damaged_files: []
        })
        assert.isFalse(isIn(dataDir, canary.installation_id, traces))
        assert.deepStrictEqual(
          (yield* list).installations.map((i) => i.installation_id),
          [neighbour.installation_id]
        )
        const late = yield* post({ ...canary, data: [{ timestamp: nowSeconds - 500, temp_outside: 1 }] })
        assert.strictEqual(late.status, 410)
        assert.deepStrictEqual(Object.keys(JSON.parse(late.text)), ["detail"])
        assert.deepInclude(yield* erase(canary.installation_id), { records: 0, blocks: 0 }, "again is no mistake")
      }).pipe(serving(dataDir, logs.layer))
      assert.isFalse(logs.lines.some((line) => line.includes(canary.installation_id)))
      assert.isFalse(isIn(dataDir, canary.installation_id, traces))

      copyFileSync(backup, file)
      for (const suffix of ["-wal", "-shm"]) rmSync(file + suffix, { force: true })
      assert.isTrue(isIn(dataDir, canary.installation_id, traces), "the backup has it")
      yield* Effect.gen(function* () {
        assert.isFalse(isIn(dataDir, canary.installation_id, traces))
        assert.deepStrictEqual(yield* stored(neighbour.installation_id), before)
        assert.strictEqual((yield* post(canary)).status, 410)
        assert.strictEqual((yield* accepted(neighbour)).duplicate, true)
      }).pipe(serving(dataDir))
      assert.strictEqual(statSync(join(dataDir, "erasures.txt")).mode & 0o777, 0o600)
      assert.notInclude(readFileSync(join(dataDir, "erasures.txt"), "latin1"), canary.installation_id)
    })
)

it.scopedLive("what repairs have set aside is named, in the status too, and deleted on demand", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const names = ["telemetry.sqlite.damaged-20261101T101010101Z", "telemetry.sqlite.damaged-20261101T101010101Z-wal"]
    for (const name of [...names, "telemetry.sqlite.notes"]) writeFileSync(join(dataDir, name), "x")
    yield* Effect.gen(function* () {
      const canary = home(2)
      yield* accepted(canary)
      const { store } = decodeStatus((yield* ask("/api/v1/status")).text)
      assert.deepStrictEqual(store.damaged_files, names)
      assert.strictEqual(store.oldest_day, new Date((nowSeconds - 39) * 1000).toISOString().slice(0, 10))
      assert.deepInclude(yield* erase(canary.installation_id, { dry_run: true, delete_damaged: true }), {
        damaged_files: names,
        deleted_files: []
      })
      assert.deepInclude(yield* erase(canary.installation_id), { damaged_files: names, deleted_files: [] })
      assert.deepInclude(yield* erase(canary.installation_id, { delete_damaged: true }), {
        damaged_files: [],
        deleted_files: names
      })
      assert.strictEqual(decodeStatus((yield* ask("/api/v1/status")).text).store.oldest_day, null)
    }).pipe(serving(dataDir))
    assert.deepStrictEqual(
      [...names, "telemetry.sqlite.notes"].map((name) => existsSync(join(dataDir, name))),
      [false, false, true]
    )
  })
)

it.scopedLive("a receipt names the models that the home was trained into, as the command does", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const [canary, neighbour] = [home(1), home(2)]
    const trained = join(dataDir, "models", "trained", "NAVI")
    mkdirSync(trained, { recursive: true })
    writeFileSync(join(trained, "model.pkl"), "pickle")
    const homes = trainedHomes("NAVI", Buffer.from("pickle"), [canary.installation_id])
    writeFileSync(join(trained, "model_homes.json"), JSON.stringify(homes))
    writeFileSync(join(dataDir, "models", "OLD.pkl"), "of nobody knows whom")
    yield* Effect.gen(function* () {
      for (const others of [{ dry_run: true }, {}]) {
        assert.deepInclude(yield* erase(canary.installation_id, others), {
          affected_models: [{ name: "NAVI", version: null, is_current: false }],
          models_of_unknown_homes: 1
        })
      }
      assert.deepInclude(yield* erase(neighbour.installation_id, { dry_run: true }), { affected_models: [] })
    }).pipe(serving(dataDir))
    const asked = (id: string) =>
      Effect.promise(() => runProgram(["models", "--affected-by", id], { DATA_DIR: dataDir }))
    const affected = yield* asked(canary.installation_id)
    assert.deepStrictEqual([affected.code, affected.stderr], [0, ""])
    assert.include(affected.stdout, "NAVI")
    assert.include(affected.stdout, "OLD.pkl")
    assert.notInclude((yield* asked(neighbour.installation_id)).stdout, "NAVI")
    assert.strictEqual((yield* asked("no-uuid")).code, 2)
  })
)

it.scopedLive("a torn last line was never acted upon; a list that cannot be read stops the start", () =>
  Effect.gen(function* () {
    const dataDir = yield* directory
    const file = join(dataDir, "erasures.txt")
    const [first, second] = [home(1), home(2)]
    yield* Effect.all([erase(first.installation_id), erase(second.installation_id)]).pipe(serving(dataDir))
    const whole = readFileSync(file, "latin1")
    writeFileSync(file, whole.slice(0, -3))
    yield* Effect.gen(function* () {
      assert.strictEqual((yield* post(first)).status, 410)
      assert.strictEqual((yield* post(second)).status, 200)
      yield* erase(second.installation_id)
      assert.strictEqual((yield* post(second)).status, 410)
    }).pipe(serving(dataDir))
    for (const damaged of [whole.replace("salt", "sult"), whole.replace(/\n[0-9a-f]/, "\nx"), "\n"]) {
      writeFileSync(file, damaged)
      assert.include(String(yield* Effect.flip(list.pipe(serving(dataDir)))), "erasures.txt")
    }
  })
)

it.scopedLive("for the admin token alone, and refused in the same words as ever", () =>
  Effect.gen(function* () {
    const id = home(1).installation_id
    const paths = ["/api/v1/installations", "/api/v1/installations/export", "/api/v1/installations/erase"]
    for (const path of paths) {
      const body = path.endsWith("installations") ? undefined : { installation_id: id }
      assert.strictEqual((yield* ask(path, body, testToken)).status, 403)
      assert.strictEqual((yield* ask(path, body, "x")).status, 403)
    }
    const bad: ReadonlyArray<readonly [unknown, number]> = [
      ["{", 400],
      ["[]", 422],
      [{}, 422],
      [{ installation_id: "3f2b8c1e" }, 422],
      [{ installation_id: "00000000-0000-0000-0000-000000000000" }, 422],
      [{ installation_id: id, format: "xlsx", dry_run: "canary-7Yt" }, 422],
      [" ".repeat(5_000), 413]
    ]
    for (const path of paths.slice(1)) {
      for (const [body, status] of bad) {
        const answer = yield* ask(path, body)
        assert.strictEqual(answer.status, status, JSON.stringify(body).slice(0, 80))
        assert.deepStrictEqual(Object.keys(JSON.parse(answer.text)), ["detail"])
        assert.notInclude(answer.text, "canary-7Yt")
      }
    }
    assert.deepStrictEqual(yield* list, { installations: [], total: 0 })
  }).pipe(Effect.provide(layerTestServer({ ADMIN_TOKEN: adminToken })))
)
