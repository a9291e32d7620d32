/**
 * Where to write, query, export and delete, from what operators give: a base URL or the full path of one endpoint, of a
 * single node or of a cluster (`/insert/<tenant>/…`, `/select/<tenant>/…`).
 * https://docs.victoriametrics.com/#how-to-send-data-from-influxdb-compatible-agents-such-as-telegraf,
 * https://docs.victoriametrics.com/cluster-victoriametrics/#url-format
 */
import { Data, Either, Redacted } from "effect"

export interface VictoriaMetricsUrls {
  readonly write: string
  readonly query: string
  readonly export: string
  readonly series: string
  /** The ids of all installations. */
  readonly installations: string
  readonly deleteSeries: string
  /** Of the process that takes the writes. */
  readonly metrics: string
  /** Makes what was just written visible; only a single node has it where it takes writes. */
  readonly flush: string | undefined
  /** From `user:password@` of the URLs. */
  readonly credentials: Redacted.Redacted | undefined
}

class UrlInvalid extends Data.TaggedError("UrlInvalid")<{ readonly setting: string; readonly reason: string }> {}

export interface GivenUrls {
  readonly write: string
  readonly query: string | undefined
  readonly export: string | undefined
  readonly metrics: string | undefined
}

/** The endpoints that may be given in full. The longer of two with the same end stands first. */
const endpoints = [
  "/api/v1/admin/tsdb/delete_series",
  "/api/v1/query_range",
  "/api/v1/query",
  "/api/v1/export",
  "/api/v1/import",
  "/influx/api/v2/write",
  "/influx/write",
  "/api/v2/write",
  "/write",
  "/influx",
  "/prometheus",
  "/metrics"
]

const cluster = /^(.*)\/(insert|select|delete)\/(\d+(?::\d+)?|multitenant)$/

interface Base {
  /** Without path. */
  readonly origin: string
  /** What a proxy or `-http.pathPrefix` puts before every path. */
  readonly prefix: string
  readonly tenant: string | undefined
  readonly credentials: string
}

const parse = (setting: string, given: string): Either.Either<Base, UrlInvalid> => {
  const refuse = (reason: string) => Either.left(new UrlInvalid({ setting, reason }))
  if (!URL.canParse(given)) return refuse("is not a URL, like http://victoriametrics:8428")
  const url = new URL(given)
  if (url.protocol !== "http:" && url.protocol !== "https:") return refuse("must begin with http:// or https://")
  if (url.search !== "" || url.hash !== "") return refuse("must not have a query or a fragment")
  let path = url.pathname.replace(/\/+$/, "")
  for (const endpoint of endpoints) if (path.endsWith(endpoint)) path = path.slice(0, -endpoint.length)
  const credentials =
    url.username === "" ? "" : `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  const [, prefix, , tenant] = cluster.exec(path) ?? [undefined, path, undefined, undefined]
  return Either.right({ origin: url.origin, prefix: prefix!, tenant, credentials })
}

/** Query and export default to the node that is written to; a cluster has them elsewhere, so they must be given. */
export const victoriaMetricsUrls = (given: GivenUrls): Either.Either<VictoriaMetricsUrls, UrlInvalid> =>
  Either.gen(function* () {
    const write = yield* parse("VM_WRITE_URL", given.write)
    if (write.tenant !== undefined && given.query === undefined) {
      const reason = "is needed beside the VM_WRITE_URL of a cluster, like http://vmselect:8481/select/0/prometheus"
      return yield* Either.left(new UrlInvalid({ setting: "VM_QUERY_URL", reason }))
    }
    const query = given.query === undefined ? write : yield* parse("VM_QUERY_URL", given.query)
    const exporting = given.export === undefined ? query : yield* parse("VM_EXPORT_URL", given.export)
    const metrics = given.metrics === undefined ? write : yield* parse("VM_METRICS_URL", given.metrics)
    const root = (base: Base) => base.origin + base.prefix
    const api = (base: Base, role: "select" | "delete") =>
      base.tenant === undefined ? root(base) : `${root(base)}/${role}/${base.tenant}/prometheus`
    return {
      write: `${root(write)}${write.tenant === undefined ? "" : `/insert/${write.tenant}/influx`}/write?precision=ms`,
      query: `${api(query, "select")}/api/v1/query`,
      export: `${api(exporting, "select")}/api/v1/export`,
      series: `${api(query, "select")}/api/v1/series`,
      installations: `${api(query, "select")}/api/v1/label/installation_id/values`,
      deleteSeries: `${api(query, "delete")}/api/v1/admin/tsdb/delete_series`,
      metrics: `${root(metrics)}/metrics`,
      flush: write.tenant === undefined ? `${root(write)}/internal/force_flush` : undefined,
      credentials: write.credentials === "" ? undefined : Redacted.make(write.credentials)
    }
  })
