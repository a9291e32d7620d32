/** What VictoriaMetrics' `/metrics` tells of its release and flags: https://docs.victoriametrics.com/#monitoring */
interface DatabaseFacts {
  /** Like `1.122.0`; undefined where it does not say. */
  readonly version: string | undefined
  readonly retentionDays: number | undefined
  readonly removesDuplicates: boolean | undefined
}

/** Days; a bare number means months of 31 days: https://docs.victoriametrics.com/#retention */
const unitDays: Readonly<Record<string, number>> = { h: 1 / 24, d: 1, w: 7, y: 365, "": 31 }

const daysOf = (period: string): number | undefined => {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([hdwy]?)$/.exec(period) ?? []
  return number === undefined ? undefined : Number(number) * unitDays[unit]!
}

/** @param metrics the text of `/metrics` */
export const databaseFacts = (metrics: string): DatabaseFacts => {
  const flag = (name: string) =>
    metrics
      .split("\n")
      .find((line) => line.startsWith(`flag{name="${name}",`))
      ?.match(/value="([^"]*)"/)?.[1]
  const interval = flag("dedup.minScrapeInterval")
  const period = flag("retentionPeriod")
  return {
    version: /^vm_app_version\{[^}]*(?:short_version="v?|version="[^"]*?-v?)(\d+\.\d+\.\d+)/m.exec(metrics)?.[1],
    retentionDays: period === undefined ? undefined : daysOf(period),
    removesDuplicates: interval === undefined ? undefined : !/^0?[a-z]*$/.test(interval)
  }
}

/** The process that takes the writes. */
export interface DatabaseProcess {
  /** Unix seconds by its own clock, which may be wrong: tells one process from another, and nothing else. */
  readonly startedAtSeconds: number
  /** Whole seconds, by a clock that nobody sets. */
  readonly uptimeSeconds: number
  /** Failures between the parts of a cluster since its start; grows when one of its storage nodes goes away. */
  readonly clusterErrors: number
}

/**
 * Undefined when the page is not that of a program that writes what it takes into storage of its own, a single node or a
 * cluster's vminsert: vmauth and vmagent have a page with a start of their own. Releases that were built without their
 * name (Debian's) say no other way which they are than by what they count.
 *
 * @param metrics the text of `/metrics`
 */
export const processOf = (metrics: string): DatabaseProcess | undefined => {
  const started = /^vm_app_start_timestamp (\d+)/m.exec(metrics)
  const uptime = /^vm_app_uptime_seconds (\d+)/m.exec(metrics)
  if (started === null || uptime === null || !/^vm_rows_inserted_total\{type="influx"/m.test(metrics)) return undefined
  const errors = metrics.matchAll(/^vm_rpc_(?:connection|dial|handshake)_errors_total\{[^}]*\} (\d+)/gm)
  return {
    startedAtSeconds: Number(started[1]),
    uptimeSeconds: Number(uptime[1]),
    clusterErrors: [...errors].reduce((sum, [, count]) => sum + Number(count), 0)
  }
}
