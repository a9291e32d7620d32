import type { MeansQuery } from "./Store.js"

/**
 * One MetricsQL expression for all fields of a `MeansQuery`, a row per installation and `field`: the sum of the samples
 * without those that mean "absent", divided by their number. To be asked at the last millisecond of the range, since a
 * window does not hold its start.
 */
export const meansExpression = ({ fields, fromMs, model, untilMs }: MeansQuery, prefix: string): string => {
  const rows = fields.map(({ absent, name }) => {
    const series = `${prefix}${name}{model="${model}"}[${untilMs - fromMs}ms]`
    const of = (rollup: string) => `sum(${rollup}) by (installation_id)`
    const equal = (value: number) => of(`count_eq_over_time(${series}, ${value})`)
    const sum = [of(`sum_over_time(${series})`), ...absent.map((value) => `${value} * ${equal(value)}`)]
    const count = [of(`count_over_time(${series})`), ...absent.map(equal)]
    return `label_set((${sum.join(" - ")}) / (${count.join(" - ")}), "field", "${name}")`
  })
  return `union(${rows.join(", ")})`
}
