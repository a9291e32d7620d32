import { assert, describe, it } from "@effect/vitest"
import { Either, Redacted } from "effect"
import { type GivenUrls, victoriaMetricsUrls } from "../../src/store/VictoriaMetricsUrls.js"

const urlsOf = (write: string, others: Partial<GivenUrls> = {}) =>
  victoriaMetricsUrls({ write, query: undefined, export: undefined, metrics: undefined, ...others })
const validUrlsOf = (...given: Parameters<typeof urlsOf>) => Either.getOrThrow(urlsOf(...given))
const refusalOf = (...given: Parameters<typeof urlsOf>) => Either.getOrThrow(Either.flip(urlsOf(...given)))

const node = (base: string) => ({
  write: `${base}/write?precision=ms`,
  query: `${base}/api/v1/query`,
  export: `${base}/api/v1/export`,
  series: `${base}/api/v1/series`,
  installations: `${base}/api/v1/label/installation_id/values`,
  deleteSeries: `${base}/api/v1/admin/tsdb/delete_series`,
  metrics: `${base}/metrics`,
  flush: `${base}/internal/force_flush`,
  credentials: undefined
})

describe("where VictoriaMetrics is", () => {
  for (const given of [
    "",
    "/",
    "//",
    "/write",
    "/api/v2/write",
    "/influx/write",
    "/influx",
    "/api/v1/query",
    "/prometheus"
  ]) {
    it(`a node: http://vm:8428${given}`, () => {
      assert.deepStrictEqual(validUrlsOf(`http://vm:8428${given}`), node("http://vm:8428"))
    })
  }

  it("a node behind a proxy's path, the query side elsewhere", () => {
    const urls = validUrlsOf("https://proxy/vm/write", { query: "http://vm:8428/api/v1/query_range" })
    assert.strictEqual(urls.write, "https://proxy/vm/write?precision=ms")
    assert.strictEqual(urls.query, "http://vm:8428/api/v1/query")
    assert.strictEqual(urls.export, "http://vm:8428/api/v1/export")
    assert.strictEqual(urls.metrics, "https://proxy/vm/metrics")
  })

  for (const given of ["http://vminsert:8480", "http://vminsert:8480/metrics"]) {
    it(`a cluster behind vmauth, with the metrics of its own at ${given}`, () => {
      const others = { query: "http://vmauth:8427/select/0", metrics: given }
      const urls = validUrlsOf("http://vmauth:8427/insert/0/influx", others)
      assert.strictEqual(urls.metrics, "http://vminsert:8480/metrics")
      assert.strictEqual(urls.write, "http://vmauth:8427/insert/0/influx/write?precision=ms")
    })
  }

  for (const [write, query] of [
    ["http://vminsert:8480/insert/7:3", "http://vmselect:8481/select/7:3"],
    ["http://vminsert:8480/insert/7:3/influx/write", "http://vmselect:8481/select/7:3/prometheus/api/v1/query"]
  ] as const) {
    it(`a cluster: ${write} and ${query}`, () => {
      assert.deepStrictEqual(validUrlsOf(write, { query }), {
        write: "http://vminsert:8480/insert/7:3/influx/write?precision=ms",
        query: "http://vmselect:8481/select/7:3/prometheus/api/v1/query",
        export: "http://vmselect:8481/select/7:3/prometheus/api/v1/export",
        series: "http://vmselect:8481/select/7:3/prometheus/api/v1/series",
        installations: "http://vmselect:8481/select/7:3/prometheus/api/v1/label/installation_id/values",
        deleteSeries: "http://vmselect:8481/delete/7:3/prometheus/api/v1/admin/tsdb/delete_series",
        metrics: "http://vminsert:8480/metrics",
        flush: undefined,
        credentials: undefined
      })
    })
  }

  it("takes a name and a password out of the URL", () => {
    const urls = validUrlsOf("http://me:p%40ss@vm:8428")
    assert.strictEqual(Redacted.value(urls.credentials!), "me:p@ss")
    assert.deepStrictEqual({ ...urls, credentials: undefined }, node("http://vm:8428"))
  })

  it("refuses what cannot work, and says which setting and why", () => {
    const refusals: ReadonlyArray<readonly [string, Partial<GivenUrls>, string, RegExp]> = [
      ["vm", {}, "VM_WRITE_URL", /^is not a URL, like http:\/\/victoriametrics:8428$/],
      ["vm:8428", {}, "VM_WRITE_URL", /^must begin with http:\/\/ or https:\/\/$/],
      ["ftp://vm", {}, "VM_WRITE_URL", /^must begin/],
      ["http://vm/?db=x", {}, "VM_WRITE_URL", /^must not have a query or a fragment$/],
      ["http://vm/#x", {}, "VM_WRITE_URL", /^must not have a query or a fragment$/],
      ["http://vm", { query: "no URL" }, "VM_QUERY_URL", /^is not a URL/],
      ["http://vm", { export: "no URL" }, "VM_EXPORT_URL", /^is not a URL/],
      ["http://vm", { metrics: "no URL" }, "VM_METRICS_URL", /^is not a URL/],
      [
        "http://vminsert:8480/insert/0/influx",
        {},
        "VM_QUERY_URL",
        /^is needed beside the VM_WRITE_URL of a cluster.*vmselect/
      ]
    ]
    for (const [write, others, setting, reason] of refusals) {
      const refusal = refusalOf(write, others)
      assert.strictEqual(refusal.setting, setting)
      assert.match(refusal.reason, reason)
    }
  })
})
