/** What a client is told while the server's own file does not do what it should. */
import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "libsql"
import { accepted, baseUrl, captureLogs, layerTestServer, newHome, refused, serverPort } from "../support/testServer.js"
import { head } from "../support/wire.js"

const adminToken = "an-admin-token-of-the-tests-456"
const dataDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-failures-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)
/** Another program's connection to the store's file. */
const connection = (dataDir: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new Database(join(dataDir, "telemetry.sqlite"))),
    (db) => Effect.sync(() => db.close())
  )
const asOperator = (base: string, what: "export" | "erase", body: unknown) =>
  fetch(`${base}/api/v1/installations/${what}`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
    body: JSON.stringify(body)
  })
const record = () => newHome([{ timestamp: Math.floor(Date.now() / 1000), temp_outside: 4.5 }])

it.scopedLive("503 while another program keeps the file to itself; nothing is stored, and later all goes on", () =>
  Effect.gen(function* () {
    const dataDir = yield* dataDirectory
    const logs = captureLogs()
    yield* Effect.gen(function* () {
      const other = yield* connection(dataDir)
      const base = yield* baseUrl
      const body = record()
      other.exec("BEGIN IMMEDIATE")
      const { detail, headers, status } = yield* refused(body)
      assert.strictEqual(status, 503)
      assert.strictEqual(detail, "Not stored: the server cannot write now. Please retry later")
      assert.isAbove(Number(headers.get("retry-after")), 0)
      const failure = logs.lines.filter((line) => line.includes("the store failed to append"))
      assert.lengthOf(failure, 1)
      assert.include(failure[0], "database is locked")
      const erasing = yield* Effect.promise(() =>
        asOperator(base, "erase", { installation_id: newHome([]).installation_id })
      )
      assert.strictEqual(erasing.status, 503)
      assert.deepStrictEqual(yield* Effect.promise(() => erasing.json()), {
        detail: "The server failed to remove blocks, and its log says why. Please retry later"
      })
      other.exec("ROLLBACK")
      assert.deepInclude(yield* accepted(body), { processed: 1, duplicate: false })
    }).pipe(Effect.provide(layerTestServer({ DATA_DIR: dataDir, ADMIN_TOKEN: adminToken }, logs.layer)))
  })
)

it.scopedLive(
  "an export that comes upon a damaged block is cut off, or refused, so that nobody takes it for whole",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* dataDirectory
      const logs = captureLogs()
      yield* Effect.gen(function* () {
        const home = newHome([])
        const nowSeconds = Math.floor(Date.now() / 1000)
        // More than are read at once.
        for (let i = 0; i < 12; i++)
          yield* accepted({ ...home, data: [{ timestamp: nowSeconds - i, temp_outside: 4.5 }] })
        const other = yield* connection(dataDir)
        const damage = (which: "min" | "max") =>
          other
            .prepare(`UPDATE block SET gzipped_lines = x'1f8b00' WHERE id = (SELECT ${which}(id) FROM block)`)
            .run([])
        const base = yield* baseUrl
        const exporting = Effect.tryPromise(async () => {
          const response = await asOperator(base, "export", { installation_id: home.installation_id, format: "csv" })
          return [response.status, await response.text()]
        })
        damage("max")
        assert.strictEqual((yield* Effect.flip(exporting))._tag, "UnknownException")
        const failure = logs.lines.filter((line) => line.includes("an export was cut off"))
        assert.lengthOf(failure, 1)
        assert.notInclude(failure[0], home.installation_id)
        damage("min")
        assert.deepStrictEqual(yield* exporting, [
          503,
          '{"detail":"The server failed to read back, and its log says why. Please retry later"}'
        ])
      }).pipe(Effect.provide(layerTestServer({ DATA_DIR: dataDir, ADMIN_TOKEN: adminToken }, logs.layer)))
    })
)

/** Takes nothing of its answer. */
const unreadConnection = (port: number, sent: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connect(port, "127.0.0.1")
      socket.pause().write(sent)
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

it.scopedLive("an export whose reader goes away ends there, and costs nobody anything", () =>
  Effect.gen(function* () {
    const logs = captureLogs()
    yield* Effect.gen(function* () {
      const now = Math.floor(Date.now() / 1000)
      const fields = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`field_${i}`, i / 7]))
      const id = record().installation_id
      for (let batch = 0; batch < 16; batch++) {
        const data = Array.from({ length: 500 }, (_, i) => ({ timestamp: now - batch * 500 - i, ...fields }))
        yield* accepted({ ...newHome(data), installation_id: id })
      }
      const body = JSON.stringify({ installation_id: id })
      const port = yield* serverPort
      const ended = () => logs.lines.filter((line) => line.includes("/export") && line.includes('"status"'))
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (let reader = 0; reader < 5; reader++) {
            const headers = { authorization: `Bearer ${adminToken}`, "content-length": body.length }
            yield* unreadConnection(port, head("POST /api/v1/installations/export", headers) + body)
          }
          yield* Effect.sleep("500 millis")
          assert.lengthOf(ended(), 0, "each waits for its reader")
        })
      )
      yield* Effect.iterate(0, {
        while: (tries) => tries < 100 && ended().length < 5,
        body: (tries) => Effect.as(Effect.sleep("50 millis"), tries + 1)
      })
      assert.lengthOf(ended(), 5, "none goes on for nobody")
      assert.deepInclude(yield* accepted(record()), { processed: 1 })
      assert.isFalse(logs.lines.some((line) => line.includes("BUG:") || line.includes(id)))
    }).pipe(Effect.provide(layerTestServer({ ADMIN_TOKEN: adminToken }, logs.layer)))
  })
)
