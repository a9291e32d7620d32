/** What whoever asks for a home's data is told while the database fails in the middle of giving it. */
import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { baseUrl, captureLogs, layerTestServer } from "../support/testServer.js"

const adminToken = "an-admin-token-of-the-tests-456"
const installationId = "3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3"
const hourMs = 3_600_000

const lineOf = (field: string, timestampMs: number, value: number) =>
  `${JSON.stringify({
    metric: { __name__: `heatpump_metrics_${field}`, installation_id: installationId, model: "M", version: "v" },
    values: [value],
    timestamps: [timestampMs]
  })}\n`

/** Sends some of an answer, and ends it. */
type Ending = (response: ServerResponse, lines: ReadonlyArray<string>) => void

/**
 * A database with a record of ten hours ago, and two of an hour ago; `ending` gives the latter, which are another request.
 * https://docs.victoriametrics.com/#how-to-export-data-in-json-line-format
 */
const database = (ending: Ending) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const [longAgoMs, lateMs] = [Date.now() - 10 * hourMs, Date.now() - hourMs]
      const server = createServer((request, response) => {
        const url = new URL(request.url ?? "", "http://database")
        const isIn = (ms: number) =>
          ms >= 1000 * Number(url.searchParams.get("start")) && ms <= 1000 * Number(url.searchParams.get("end"))
        if (url.pathname !== "/api/v1/export") response.end()
        else if (isIn(longAgoMs)) response.end(lineOf("temp_outside", longAgoMs, 1))
        else if (isIn(lateMs)) ending(response, [lineOf("temp_outside", lateMs, 2), lineOf("power_current", lateMs, 3)])
        else response.end()
      })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      return { server, url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  ).pipe(Effect.map(({ url }) => url))

const askForExport = (base: string) =>
  fetch(`${base}/api/v1/installations/export`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
    body: JSON.stringify({ installation_id: installationId })
  })

/** What has come of an export, and whether it has ended as a whole one does. */
const exported = Effect.fn("exported")(function* (ending: Ending) {
  const VM_WRITE_URL = yield* database(ending)
  const logs = captureLogs()
  const result = yield* Effect.gen(function* () {
    const base = yield* baseUrl
    return yield* Effect.promise(async () => {
      const response = await askForExport(base)
      assert.strictEqual(response.status, 200)
      const decoder = new TextDecoder()
      let text = ""
      try {
        for await (const bytes of response.body ?? []) text += decoder.decode(bytes, { stream: true })
        return { text, isWhole: true }
      } catch {
        return { text, isWhole: false }
      }
    })
  }).pipe(Effect.provide(layerTestServer({ VM_WRITE_URL, ADMIN_TOKEN: adminToken, RETENTION_DAYS: "1" }, logs.layer)))
  const cutOff = logs.lines.filter((line) => line.includes("an export was cut off"))
  assert.isFalse(logs.lines.some((line) => line.includes("BUG:") || line.includes(installationId)))
  const values = result.text.match(/"values":\{[^}]*\}/g) ?? []
  return { isWhole: result.isWhole, values, cutOff }
})

it.scopedLive("an export is whole when the database's answers are", () =>
  Effect.gen(function* () {
    const result = yield* exported((response, lines) => response.end(lines.join("")))
    assert.deepStrictEqual(result, {
      isWhole: true,
      values: ['"values":{"temp_outside":1}', '"values":{"temp_outside":2,"power_current":3}'],
      cutOff: []
    })
  })
)

const endings: ReadonlyArray<readonly [how: string, ending: Ending]> = [
  ["breaks off within a line", (response, [first]) => response.write(first!.slice(0, 40), () => response.destroy())],
  ["breaks off between two lines", (response, [first]) => response.write(first!, () => response.destroy())],
  ["ends within a line", (response, lines) => response.end(lines.join("").slice(0, -20))],
  ["ends with a sentence about its failure", (response, [first]) => response.end(`${first}cannot search the index\n`)],
  ["answers with an error", (response) => response.writeHead(500).end()]
]

it.scopedLive.each(endings)("an export is cut off for its reader too when the database %s", ([_, ending]) =>
  Effect.gen(function* () {
    const { cutOff, isWhole, values } = yield* exported(ending)
    assert.isFalse(isWhole)
    assert.deepStrictEqual(values, ['"values":{"temp_outside":1}'])
    assert.lengthOf(cutOff, 1)
  })
)

it.scopedLive("an export that cannot begin is answered: 503, and no half of an answer", () =>
  Effect.gen(function* () {
    const logs = captureLogs()
    const nobody = "http://127.0.0.1:9"
    const { headers, status, text } = yield* Effect.gen(function* () {
      const base = yield* baseUrl
      return yield* Effect.promise(async () => {
        const response = await askForExport(base)
        return { text: await response.text(), headers: response.headers, status: response.status }
      })
    }).pipe(Effect.provide(layerTestServer({ VM_WRITE_URL: nobody, ADMIN_TOKEN: adminToken }, logs.layer)))
    assert.strictEqual(status, 503)
    assert.match(text, /^{"detail":"The server failed to read back, and its log says why/)
    assert.isNotNull(headers.get("retry-after"))
    assert.lengthOf(
      logs.lines.filter((line) => line.includes("BUG:") || line.includes(installationId)),
      0
    )
  })
)
