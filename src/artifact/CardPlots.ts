/**
 * The plots of a model card as SVG, drawn by Observable Plot in a document that exists in memory only. Colours are the
 * page's own variables, so the same SVG is readable on light and on dark ground.
 */
import * as Plot from "@observablehq/plot"
import { parseHTML } from "linkedom"

interface Series {
  readonly name: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

interface Bar {
  readonly name: string
  /** From 0 to 1. */
  readonly share: number
  /** The interval's ends; none when there is no interval. */
  readonly low?: number
  readonly high?: number
  readonly isFaded?: boolean
}

interface TimelineMark {
  readonly timeMs: number
  readonly row: string
  readonly isAlarm: boolean
}

/** In the order of the series. */
export const seriesColours = ["var(--first)", "var(--second)", "var(--third)", "var(--fourth)", "var(--fifth)"] as const

const { document } = parseHTML("<!doctype html><html><body></body></html>")

const draw = (title: string, options: Plot.PlotOptions): string => {
  const svg = Plot.plot({
    document,
    width: 680,
    marginTop: 30,
    marginBottom: 48,
    style: { fontSize: "13px", background: "none" },
    ariaLabel: title,
    ...options
  })
  return svg.outerHTML.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" role="img" ')
}

const noPlot = (reason: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="680" height="40" viewBox="0 0 680 40"><text x="0" y="24" font-size="13" fill="currentColor">${reason}</text></svg>`

/** Shares of records per bin of scores, clean and with faults. */
export const scoreDistributionPlot = (
  title: string,
  bins: {
    readonly high: number
    readonly clean: ReadonlyArray<number>
    readonly faulty: ReadonlyArray<number>
  },
  threshold: number
): string => {
  const bars = (shares: ReadonlyArray<number>) =>
    shares.map((share, b) => ({
      x1: (b * bins.high) / shares.length,
      x2: ((b + 1) * bins.high) / shares.length,
      y: share * 100
    }))
  return draw(title, {
    height: 260,
    x: { label: "Score (0 usual, 1 unusual; no unit) →", domain: [0, bins.high] },
    y: { label: "↑ Share of records (%), square-root scale", type: "sqrt", grid: true },
    marks: [
      Plot.rectY(bars(bins.clean), { x1: "x1", x2: "x2", y: "y", fill: seriesColours[0], fillOpacity: 0.55 }),
      Plot.rectY(bars(bins.faulty), { x1: "x1", x2: "x2", y: "y", fill: seriesColours[1], fillOpacity: 0.55 }),
      Plot.ruleX([threshold], { stroke: "currentColor", strokeDasharray: "4 3" }),
      Plot.text([[threshold, 0]], {
        x: threshold,
        frameAnchor: "top",
        dx: 6,
        textAnchor: "start",
        text: () => `anomaly above ${threshold}`,
        fill: "currentColor"
      }),
      Plot.ruleY([0])
    ]
  })
}

export const rocPlot = (title: string, series: ReadonlyArray<Series>): string =>
  draw(title, {
    height: 380,
    width: 480,
    marginLeft: 50,
    x: { label: "False positive rate (% of clean records) →", domain: [0, 100] },
    y: { label: "↑ True positive rate (% of records with a fault)", domain: [0, 100], grid: true },
    marks: [
      Plot.line(
        [
          [0, 0],
          [100, 100]
        ],
        { stroke: "currentColor", strokeOpacity: 0.35, strokeDasharray: "4 3" }
      ),
      ...series.map(({ points }, i) =>
        Plot.line(
          points.map(([x, y]) => [x * 100, y * 100]),
          { stroke: seriesColours[i % seriesColours.length]!, strokeWidth: i === 0 ? 2.5 : 1.5 }
        )
      ),
      Plot.ruleY([0])
    ]
  })

export const barPlot = (title: string, label: string, bars: ReadonlyArray<Bar>): string =>
  bars.length === 0
    ? noPlot("Nothing to show.")
    : draw(title, {
        height: 60 + 26 * bars.length,
        marginLeft: 210,
        marginRight: 50,
        x: { label: `${label} (%) →`, domain: [0, 100], grid: true },
        y: { label: null, domain: bars.map(({ name }) => name) },
        marks: [
          Plot.barX(bars, {
            x: ({ share }: Bar) => share * 100,
            y: "name",
            fill: seriesColours[0],
            fillOpacity: ({ isFaded }: Bar) => (isFaded === true ? 0.35 : 0.85)
          }),
          Plot.ruleY(
            bars.filter(({ low }) => low !== undefined && !Number.isNaN(low)),
            {
              x1: ({ low }: Bar) => (low ?? 0) * 100,
              x2: ({ high }: Bar) => (high ?? 0) * 100,
              y: "name",
              stroke: "currentColor",
              strokeWidth: 2
            }
          ),
          Plot.text(bars, {
            x: 100,
            y: "name",
            text: ({ share }: Bar) => (Number.isNaN(share) ? "no data" : `${(share * 100).toFixed(0)} %`),
            textAnchor: "start",
            dx: 6,
            fill: "currentColor"
          }),
          Plot.ruleX([0])
        ]
      })

/** Rows of marks over time: filled where an alarm was raised, hollow where none was. */
export const timelinePlot = (
  title: string,
  rows: ReadonlyArray<string>,
  marks: ReadonlyArray<TimelineMark>,
  range: readonly [fromMs: number, untilMs: number]
): string => {
  const at = ({ timeMs }: TimelineMark) => new Date(timeMs)
  const of = (isAlarm: boolean) => marks.filter((mark) => mark.isAlarm === isAlarm)
  return draw(title, {
    height: 70 + 26 * rows.length,
    marginLeft: 210,
    x: {
      type: "utc",
      label: "Time (date, UTC) →",
      domain: [new Date(range[0]), new Date(range[1])],
      grid: true
    },
    y: { type: "point", label: null, domain: rows },
    marks: [
      Plot.dot(of(false), { x: at, y: "row", r: 4.5, stroke: seriesColours[1], strokeWidth: 1.5 }),
      Plot.dot(of(true), { x: at, y: "row", r: 5, fill: seriesColours[0], stroke: seriesColours[0] })
    ]
  })
}
