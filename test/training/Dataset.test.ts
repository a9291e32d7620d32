import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Either, Exit, Layer, Logger, Option, type Redacted, Scope } from "effect"
import { Fatal } from "../../src/Fatal.js"
import { Store } from "../../src/store/Store.js"
import { VictoriaMetrics } from "../../src/store/VictoriaMetrics.js"
import { victoriaMetricsUrls } from "../../src/store/VictoriaMetricsUrls.js"
import type { Dataset } from "../../src/training/Dataset.js"
import { openEmbeddedDataset } from "../../src/training/EmbeddedDataset.js"
import { openFileDataset } from "../../src/training/FileDataset.js"
import { makeVictoriaMetricsDataset } from "../../src/training/VictoriaMetricsDataset.js"
import { blocksOf } from "../support/blocks.js"
import { makeFastClock } from "../support/clock.js"
import { dayMs, simulateHome } from "../support/fleet.js"
import { disorder, exportLines } from "../support/fleetOutput.js"
import { expectedRecords, nestedBody, pooledFleet, someSensors } from "../support/pooledFleet.js"
import { layerStoreOf } from "../support/program.js"
import { hasVictoriaMetrics } from "../support/realParts.js"
import { type Database, runningDatabase } from "../support/victoriaMetrics.js"

const nowMs = Math.floor(Date.now() / 60_000) * 60_000
const startMs = nowMs - 12 * dayMs
const range = { fromMs: 0, untilMs: nowMs }
const fleet = pooledFleet({ homes: 3, model: "AERO SLM", startMs, days: 2, seed: 4 })
const other = pooledFleet({ homes: 1, model: "TERRA.CLIMA (2)", startMs, days: 1, seed: 5 })
const twins = [6, 7].map((home) => simulateHome({ seed: 4, home, startMs, days: 1, cadenceMinutes: 5 }))
const nestedHome = {
  id: "ffffffff-0000-4000-8000-000000000001",
  heatpumps: [
    { id: "hp-b", model: "AERO_SLM", home: { ...twins[0]!, timestampsMs: twins[1]!.timestampsMs } },
    { id: "hp-a", model: "AERO_SLM", home: twins[1]! },
    { id: "hp-c", model: "OTHER", home: twins[1]! }
  ]
}
const bodies = [...fleet.bodies, ...other.bodies, nestedBody(nestedHome.id, nestedHome.heatpumps)]
const directory = mkdtempSync(join(tmpdir(), "telemetry-dataset-"))
afterAll(() => rmSync(directory, { recursive: true }))

/** The store's file as a server leaves it, still open. */
const layerOpenStore = (dataDir: string) =>
  layerStoreOf(dataDir).pipe(
    Layer.provide(Layer.effect(Fatal, Deferred.make<never, Error>())),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )
const append = (bodies: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const store = yield* Store
    for (const body of bodies) yield* store.append(yield* Effect.promise(() => blocksOf(JSON.parse(body), nowMs)))
  })

const sorted = <A extends object>(map: ReadonlyMap<string, A>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

const checkContract = Effect.fn("checkContract")(function* (dataset: Dataset) {
  assert.deepStrictEqual(yield* dataset.models, [
    { model: "AERO_SLM", installations: 4 },
    { model: "OTHER", installations: 1 },
    { model: "TERRA.CLIMA_(2)", installations: 1 }
  ])
  const ids = [...fleet.homes.map(({ installationId }) => installationId), nestedHome.id].sort()
  for (const spelling of ["AERO SLM", "AERO_SLM"]) {
    assert.deepStrictEqual(yield* dataset.installations(spelling, range), ids)
  }
  assert.deepStrictEqual(yield* dataset.installations("AERO", range), [])
  assert.lengthOf(yield* dataset.installations("TERRA.CLIMA (2)", range), 1)
  for (const home of fleet.homes) {
    const [loaded, ...more] = yield* dataset.load(home.installationId, "AERO SLM", range, someSensors)
    assert.deepStrictEqual(more, [])
    const expected = expectedRecords(home, someSensors)
    assert.deepStrictEqual(loaded!.timestampsMs, expected.timestampsMs)
    assert.deepStrictEqual(sorted(loaded!.columns), sorted(expected.columns))
    assert.deepStrictEqual([loaded!.installationId, loaded!.heatpumpId], [home.installationId, undefined])
  }
  const [first] = fleet.homes
  const cut = { fromMs: startMs + dayMs / 2, untilMs: startMs + dayMs }
  const [part] = yield* dataset.load(first!.installationId, "AERO_SLM", cut, someSensors)
  assert.deepStrictEqual(
    part!.timestampsMs,
    first!.timestampsMs.filter((at) => at >= cut.fromMs && at < cut.untilMs)
  )
  const both = yield* dataset.load(nestedHome.id, "AERO SLM", range, someSensors)
  assert.deepStrictEqual(
    both.map(({ heatpumpId }) => heatpumpId),
    ["hp-a", "hp-b"]
  )
  assert.deepStrictEqual(both[0]!.columns.get("temp_outside"), twins[1]!.columns.get("temp_outside"))
  assert.deepStrictEqual(both[1]!.columns.get("temp_outside"), twins[0]!.columns.get("temp_outside"))
})

describe("EmbeddedDataset", () => {
  it.live("gives every record once, and not what arrives after it was opened", () =>
    Effect.gen(function* () {
      const dataDir = mkdtempSync(join(directory, "embedded-"))
      const late = pooledFleet({ homes: 2, model: "AERO SLM", startMs, days: 1, seed: 9 })
      yield* Effect.gen(function* () {
        yield* append(bodies)
        const dataset = yield* openEmbeddedDataset(join(dataDir, "telemetry.sqlite"))
        yield* append(late.bodies)
        yield* checkContract(dataset)
        const again = yield* openEmbeddedDataset(join(dataDir, "telemetry.sqlite"))
        assert.lengthOf(yield* again.installations("AERO SLM", range), 6)
      }).pipe(Effect.provide(layerOpenStore(dataDir)))
    }).pipe(Effect.scoped)
  )

  it.effect("says why when there is no store, or something else", () =>
    Effect.gen(function* () {
      const messageOf = (file: string) => Effect.map(Effect.flip(openEmbeddedDataset(file)), ({ message }) => message)
      const missing = join(directory, "missing.sqlite")
      assert.strictEqual(
        yield* messageOf(missing),
        `cannot read the training data from the embedded store ${missing}: there is no such file`
      )
      const foreign = join(directory, "foreign.sqlite")
      writeFileSync(foreign, "no database at all, but long enough to be taken for one. ".repeat(100))
      assert.include(yield* messageOf(foreign), "file is not a database")
    }).pipe(Effect.scoped)
  )
})

const lines = [
  ...fleet.homes.flatMap((home) => exportLines(home, { model: "AERO_SLM" })),
  ...other.homes.flatMap((home) => exportLines(home, { model: "TERRA.CLIMA_(2)" })),
  ...nestedHome.heatpumps.flatMap(({ home, id, model }) =>
    exportLines({ ...home, installationId: nestedHome.id }, { model, heatpump_id: id, manufacturer: "idm" })
  ),
  JSON.stringify({ metric: { __name__: "up", job: "vm" }, values: [1], timestamps: [nowMs] })
]
const openFile = (content: string | Buffer, name = "export.jsonl") => {
  const file = join(mkdtempSync(join(directory, "file-")), name)
  writeFileSync(file, content)
  return openFileDataset(file)
}

describe("FileDataset", () => {
  it.effect("gives every record once, wherever its lines are, compressed or not", () =>
    Effect.gen(function* () {
      const text = disorder(lines, 3).join("\n")
      yield* Effect.flatMap(openFile(text), checkContract)
      const zipped = yield* openFile(gzipSync(`${text}\n`))
      yield* checkContract(zipped)
      assert.strictEqual(zipped.newestMs, Math.max(...fleet.homes.map((home) => home.timestampsMs.at(-1)!)))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("names what is wrong with a file", () =>
    Effect.gen(function* () {
      const text = `${lines.slice(0, 3).join("\n")}\n`
      const cases: ReadonlyArray<readonly [string | Buffer, RegExp]> = [
        [text.slice(0, -100), /cut off in the middle of line 3; export it again$/],
        [gzipSync(text).subarray(0, -50), /cut off; export it again$/],
        [`${text}hello\n${text}`, /line 4 is not of a VictoriaMetrics export/],
        ['{"metric":{"__name__":"up"},"values":[1],"timestamps":[1]}\n', /no series of heat pumps/],
        ["", /no series of heat pumps/]
      ]
      for (const [content, expected] of cases) {
        assert.match((yield* Effect.flip(openFile(content))).message, expected)
      }
      assert.match((yield* Effect.flip(openFileDataset(join(directory, "none.jsonl")))).message, /no such file$/)
      const [owner] = fleet.homes
      const garbled = yield* openFile(text.replace('"values":[', '"values":[[,'))
      assert.match(
        (yield* Effect.flip(garbled.load(owner!.installationId, "AERO_SLM", range, new Set(owner!.columns.keys()))))
          .message,
        /line 1 is not JSON of an export/
      )
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )
})

const datasetAt = (url: string) =>
  Effect.gen(function* () {
    const urls = Either.getOrThrow(
      victoriaMetricsUrls({ write: url, query: undefined, export: undefined, metrics: undefined })
    )
    const layer = VictoriaMetrics.layer({
      urls,
      bearerToken: Option.none(),
      basicCredentials: Option.none<Redacted.Redacted>(),
      writeTimeout: Duration.seconds(5),
      connections: 2
    })
    return yield* makeVictoriaMetricsDataset.pipe(Effect.provide(yield* Layer.build(layer)))
  })

describe.skipIf(!hasVictoriaMetrics)("VictoriaMetricsDataset", () => {
  const scope = Effect.runSync(Scope.make())
  let database: Database
  beforeAll(async () => {
    database = await Effect.runPromise(Scope.extend(runningDatabase(), scope))
    for (const body of bodies) {
      for (const { gzippedLines } of await blocksOf(JSON.parse(body), nowMs)) {
        const response = await fetch(`${database.url}/write?precision=ms`, {
          method: "POST",
          body: gunzipSync(gzippedLines)
        })
        assert.strictEqual(response.status, 204)
      }
    }
    await database.flush()
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  it.live("gives every record once", () => Effect.flatMap(datasetAt(database.url), checkContract).pipe(Effect.scoped))
})

/** Answers like an export, and hangs up within it as often as it is told. */
const unreliable = (hangUps: number) =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly asked: () => number; readonly close: () => void }>((resume) => {
      let asked = 0
      const server = createServer((_, response) => {
        asked++
        const [home] = fleet.homes
        const text = `${exportLines(home!, { model: "AERO_SLM" }).join("\n")}\n`
        if (asked > hangUps) response.end(text)
        else response.write(text.slice(0, text.length / 2), () => setTimeout(() => response.destroy(), 20))
      }).listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, asked: () => asked, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

describe("VictoriaMetricsDataset, hung up on", () => {
  const load = (hangUps: number) =>
    Effect.gen(function* () {
      const server = yield* unreliable(hangUps)
      const dataset = yield* datasetAt(server.url)
      const [home] = fleet.homes
      const result = yield* Effect.either(dataset.load(home!.installationId, "AERO SLM", range, someSensors))
      return { result, asked: server.asked(), home: home! }
    }).pipe(Effect.withClock(makeFastClock(50)), Effect.scoped)

  it.live("asks again from the beginning", () =>
    Effect.gen(function* () {
      const { asked, home, result } = yield* load(2)
      assert.strictEqual(asked, 3)
      const [loaded] = Either.getOrThrow(result)
      assert.deepStrictEqual(loaded!.timestampsMs, home.timestampsMs)
      assert.deepStrictEqual(loaded!.columns.get("temp_outside"), home.columns.get("temp_outside"))
    })
  )

  it.live("says so when that does not help", () =>
    Effect.gen(function* () {
      const { asked, result } = yield* load(99)
      assert.strictEqual(asked, 4)
      assert.match(
        Either.getOrThrow(Either.flip(result)).message,
        /^cannot read the training data from VictoriaMetrics: the database did not export: the connection failed \(\w+\); tried 4 times$/
      )
    })
  )
})
