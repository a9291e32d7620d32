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
