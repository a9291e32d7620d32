/** What a model can do and what it cannot, for the people who decide whether to use it. */

import { type Block, toHtml, toMarkdown } from "../artifact/CardDocument.js"
import { barPlot, rocPlot, scoreDistributionPlot, seriesColours, timelinePlot } from "../artifact/CardPlots.js"
import { type Mode, modes } from "../domain/Mode.js"
import { type CaughtFigures, type Evaluation, heatpumpsText, type ModeFigures } from "./Evaluation.js"
import { faultKinds, severities } from "./Faults.js"
import type { Judgement, TriedOn } from "./Judgement.js"
import type { Estimate } from "./RankMetrics.js"
import { alarmScore } from "./ServiceLoop.js"
import { episodeHours, fewestMinutes } from "./Trial.js"

export interface CardInput {
  readonly model: string
  readonly judgement: Judgement
  /** What was judged: the first of the judgement's evaluations. */
  readonly evaluation: Evaluation
  /** Sentences; none when the model may be published. */
  readonly failedCriteria: ReadonlyArray<string>
  readonly isGated: boolean
  readonly seed: number
  readonly versions: Readonly<Record<string, string>>
}

const count = new Intl.NumberFormat("en")
const fixed = (value: number, digits: number) => (Number.isNaN(value) ? "–" : value.toFixed(digits))
const interval = ({ value, low, high }: Estimate, digits: number) =>
  Number.isNaN(low) ? fixed(value, digits) : `${fixed(value, digits)} (${fixed(low, digits)} to ${fixed(high, digits)})`
const percent = (share: number) => (Number.isNaN(share) ? "–" : `${(share * 100).toFixed(0)} %`)
const percentInterval = ({ value, low, high }: Estimate) =>
  Number.isNaN(low) ? percent(value) : `${percent(value)} (${percent(low)} to ${percent(high)})`
const minutes = (value: number) => (Number.isNaN(value) ? "–" : `${value.toFixed(0)} min`)
const title = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}`

/** Its subject is the model. */
const triedOn: Readonly<Record<TriedOn, (heatpumps: string) => string>> = {
  "other homes": (heatpumps) => `${heatpumps} that it had never seen`,
  "later days": (heatpumps) => `the last 20 % of the time of ${heatpumps}, of which it had seen the time before`,
  "homes it may know": (heatpumps) => `${heatpumps} that it may have been fitted to`
}

const keySentence = ({ evaluation, failedCriteria, isGated, judgement }: CardInput): string => {
  const { caught, falseAlarmsPerWeek } = evaluation.overall
  const weeks = falseAlarmsPerWeek.value === 0 ? "none" : `one every ${fixed(1 / falseAlarmsPerWeek.value, 1)} weeks`
  const trial = `Tried on ${triedOn[judgement.triedOn](heatpumpsText(evaluation))}, the model noticed ${percent(caught.share.value)} of the faults put into their data, half of those within ${minutes(caught.medianDelayMinutes)}, and raised ${fixed(falseAlarmsPerWeek.value, 2)} false alarms per installation and week (${weeks}).`
  if (failedCriteria.length === 0) return `${trial} It meets every criterion for publication.`
  if (judgement.triedOn === "homes it may know")
    return `${trial} It fails ${failedCriteria.length} of the criteria below.`
  return isGated
    ? `${trial} It was NOT published: ${failedCriteria.length} of the criteria below failed.`
    : `${trial} It fails ${failedCriteria.length} of the criteria below and was written only because the gate was switched off.`
}

const caughtCells = (figures: CaughtFigures) => [
  `${percentInterval(figures.share)} of ${count.format(figures.episodes)}`,
  minutes(figures.medianDelayMinutes)
]

const modeRow = (mode: Mode, figures: ModeFigures, reason: string | undefined): ReadonlyArray<string> => {
  const why = reason === undefined ? figures.notEvaluated : `never alarms: ${reason}`
  if (why !== undefined) return [title(mode), `not evaluated: ${why}`, "", "", "", ""]
  return [
    title(mode),
    interval(figures.rocAuc, 3),
    interval(figures.averagePrecision, 3),
    interval(figures.falseAlarmsPerWeek, 2),
    `${fixed(figures.shareInAlarm * 100, 3)} %`,
    [figures.cleanScore.q50, figures.cleanScore.q95, figures.cleanScore.q999].map((q) => fixed(q, 2)).join(" / ")
  ]
}

const evaluatedModes = ({ evaluation }: CardInput) =>
  modes.filter((mode) => evaluation.byMode[mode].notEvaluated === undefined)

const figures = (input: CardInput): ReadonlyArray<Block> => {
  const { evaluation, judgement } = input
  const shown = evaluatedModes(input)
  const example = judgement.example
  const dots = example?.episodes.map(({ kind, overall, startMs }) => ({
    timeMs: startMs,
    row: kind,
    isAlarm: overall.delayMinutes !== undefined
  }))
  const falseAlarms = example?.alarms.map(({ timeMs }) => ({ timeMs, row: "no fault", isAlarm: true }))
  const times = [...(dots ?? []), ...(falseAlarms ?? [])].map(({ timeMs }) => timeMs)
  const lastMs = judgement.sample.lastMs
  const modelled = new Set(judgement.training.choice.sensors)
  return [
    ...shown.map(
      (mode): Block => ({
        kind: "figure",
        title: `${title(mode)}: scores with and without a fault`,
        svg: scoreDistributionPlot(
          `Distribution of scores, ${mode}`,
          evaluation.byMode[mode].scoreDistribution,
          alarmScore
        ),
        caption: `Each record of the test homes once. Three scores in a row above ${alarmScore} are an alarm.`,
        legend: [
          [seriesColours[0], "without a fault"],
          [seriesColours[1], "during a fault"]
        ]
      })
    ),
    ...shown.map(
      (mode): Block => ({
        kind: "figure",
        title: `${title(mode)}: faults found against false positives, record by record`,
        svg: rocPlot(
          `ROC, ${mode}`,
          judgement.evaluations.map(({ byMode, name }) => ({
            name,
            points: byMode[mode].rocCurve.map(
              ({ falsePositiveRate, truePositiveRate }) => [falsePositiveRate, truePositiveRate] as const
            )
          }))
        ),
        caption: "ROC: the nearer to the upper left corner, the better. The dashed diagonal is guessing.",
        legend: judgement.evaluations.map(
          ({ byMode, name }, i) =>
            [seriesColours[i % seriesColours.length]!, `${name} (AUC ${fixed(byMode[mode].rocAuc.value, 3)})`] as const
        )
      })
    ),
    {
      kind: "figure",
      title: "Faults noticed, by kind",
      svg: barPlot(
        "Share of fault episodes that raised an alarm, by kind",
        "Episodes that raised an alarm",
        faultKinds
          .filter((kind) => evaluation.overall.byKind[kind].episodes > 0)
          .map((name) => {
            const { low, high, value } = evaluation.overall.byKind[name].share
            return { name, share: value, low, high }
          })
      ),
      caption: "In any mode; lines are 90 % intervals from resampling homes.",
      legend: []
    },
    {
      kind: "figure",
      title: "One test home over time",
      svg: timelinePlot(
        "Alarms of one test home over time",
        ["no fault", ...faultKinds],
        [...(dots ?? []), ...(falseAlarms ?? [])],
        [Math.min(lastMs - 86_400_000, ...times), lastMs]
      ),
      caption: `The first row is the home as it was: a filled dot there is a false alarm. Below, each dot is an episode of ${episodeHours} h.`,
      legend: [
        [seriesColours[0], "alarm raised (filled)"],
        [seriesColours[1], "fault not noticed (hollow)"]
      ]
    },
    {
      kind: "figure",
      title: "Sensors",
      svg: barPlot(
        "Share of heat pumps that have a sensor",
        "Heat pumps that have it",
        judgement.sample.coverage
          .filter(
            ({ sensor }) => modelled.has(sensor) || judgement.training.choice.missing.some((m) => m.includes(sensor))
          )
          .map(({ coverage, sensor }) => ({ name: sensor, share: coverage, isFaded: !modelled.has(sensor) }))
      ),
      caption: "Pale: wanted by the model, but too rare to be used.",
      legend: []
    }
  ]
}

/** How what was fitted and what was tried are told apart. */
const methodOf = ({ judgement, seed }: CardInput): string => {
  const { rounds, sample, split, triedOn } = judgement
  const homes = sample.installations.length
  if (triedOn === "homes it may know")
    return `Nothing was fitted; tried on ${split.test.length} of ${homes} installations`
  if (triedOn === "later days") return "One installation: the first 80 % of its time fitted, the rest tried on"
  return rounds > 1
    ? `${homes} installations: each tried with a model of the others; this one is of all`
    : `Split by installation with seed ${seed}: ${split.fit.length} fitted, the thresholds from four folds of them, ${split.test.length} tried on`
}

const blocksOf = (input: CardInput): ReadonlyArray<Block> => {
  const { evaluation, failedCriteria, judgement } = input
  const { drift, forgetting, sample, skippedFaults, training } = judgement
  const isTrained = judgement.triedOn !== "homes it may know"
  const outdoor = modes.flatMap((mode) => {
    const range = training.byMode[mode].outdoorCelsius
    return range === undefined ? [] : [`${mode} ${range.low.toFixed(0)} to ${range.high.toFixed(0)} °C`]
  })
  return [
    { kind: "paragraph", text: keySentence(input) },
    ...(failedCriteria.length === 0 ? [] : [{ kind: "list", items: failedCriteria } as const]),
    { kind: "heading", text: "Before you use it" },
    {
      kind: "list",
      items: [
        // Of a champion judged alone nothing is known but what it scores.
        ...(isTrained ? training.warnings : []),
        "Faults are simulated changes of real or pooled records; no labelled faults of real homes exist. Believe the direction more than the last digit.",
        "A fault that is there from the first day, or lasts for days, becomes normal to the model after one to five days.",
        ...(isTrained
          ? [
              `Sensors it needs: ${training.choice.sensors.join(", ")}. A home without one of them may get false alarms.`
            ]
          : []),
        ...(outdoor.length === 0 || !isTrained
          ? []
          : [`Outdoor temperatures it has seen (98 % of records): ${outdoor.join("; ")}.`]),
        "A stuck outdoor sensor is hard to notice while hot water is made."
      ]
    },
    { kind: "heading", text: "Alarms under the service's rule" },
    {
      kind: "paragraph",
      text: `Scores above ${alarmScore} three times in a row, then an hour of silence; each record seen twice, everything learned. Episodes of ${episodeHours} h in which the heat pump ran for at least ${fewestMinutes} min.`
    },
    {
      kind: "table",
      head: ["", "Faults noticed", "Half of them within"],
      rows: [
        ["All", ...caughtCells(evaluation.overall.caught)],
        ...severities.map((severity) => [
          `Severity ${severity}`,
          ...caughtCells(evaluation.overall.bySeverity[severity])
        ]),
        ...faultKinds.map((kind) => [title(kind), ...caughtCells(evaluation.overall.byKind[kind])])
      ]
    },
    {
      kind: "paragraph",
      text: `False alarms per installation-week, all modes: ${interval(evaluation.overall.falseAlarmsPerWeek, 2)}, over ${fixed(evaluation.weeks, 1)} installation-weeks. In brackets everywhere: 90 % intervals.`
    },
    { kind: "heading", text: "By operating mode" },
    {
      kind: "table",
      head: [
        "Mode",
        "ROC-AUC",
        "Average precision",
        "False alarms per week",
        "Time in alarm",
        "Clean score, 50 / 95 / 99.9 %"
      ],
      rows: modes.map((mode) =>
        modeRow(mode, evaluation.byMode[mode], isTrained ? training.byMode[mode].untrainedBecause : undefined)
      )
    },
    {
      kind: "table",
      head: ["ROC-AUC by fault", ...evaluatedModes(input).map(title)],
      rows: faultKinds.map((kind) => [
        title(kind),
        ...evaluatedModes(input).map((mode) => interval(evaluation.byMode[mode].byKind[kind].rocAuc, 3))
      ])
    },
    { kind: "heading", text: "Beside others, on the same homes and faults" },
    {
      kind: "table",
      head: ["", "ROC-AUC heating", "ROC-AUC water", "Faults noticed", "False alarms per week"],
      rows: judgement.evaluations.map((other) => {
        const hasBounds = modes.every((mode) => other.byMode[mode].isFiniteInUnitRange)
        return [
          other.name,
          ...(["heating", "water"] as const).map((mode) =>
            other.byMode[mode].notEvaluated === undefined ? interval(other.byMode[mode].rocAuc, 3) : "–"
          ),
          hasBounds ? percentInterval(other.overall.caught.share) : "no threshold",
          hasBounds ? interval(other.overall.falseAlarmsPerWeek, 2) : "no threshold"
        ]
      })
    },
    ...figures(input),
    { kind: "heading", text: "Over time" },
    {
      kind: "list",
      items: [
        drift === undefined
          ? "Drift was not looked at: it takes five installations."
          : `Drift: a model of the first 80 % of the time, run through the last 20 % of it in ${drift.installations} of its own homes, raised ${interval(drift.overall.falseAlarmsPerWeek, 2)} false alarms per week and noticed ${percentInterval(drift.overall.caught.share)} of the faults; heating ROC-AUC ${interval(drift.byMode.heating.rocAuc, 3)}.`,
        forgetting === undefined
          ? "Forgetting was not looked at: it takes five installations."
          : `Forgetting: ${forgetting.isEndless ? "the score table is never overwritten by live data, only the home's own scaler goes on learning" : `the window holds ${count.format(forgetting.windowSize)} records`}; after ${count.format(forgetting.learned)} more clean sightings of heating the ROC-AUC is ${interval(forgetting.evaluation.byMode.heating.rocAuc, 3)}.`
      ]
    },
    { kind: "heading", text: "Data and method" },
    {
      kind: "list",
      items: [
        `${count.format(sample.recordsByMode.reduce((sum, n) => sum + n, 0))} records of ${sample.installations.length} installations, ${new Date(sample.firstMs).toISOString().slice(0, 10)} to ${new Date(sample.lastMs).toISOString().slice(0, 10)}; fingerprint ${sample.fingerprint.slice(0, 16)}`,
        ...(isTrained ? modes : []).map((mode) => {
          const { heatpumps, records, untrainedBecause } = training.byMode[mode]
          return untrainedBecause === undefined
            ? `${title(mode)}: fitted to ${count.format(records)} records of ${heatpumps} heat pumps`
            : `${title(mode)}: never alarms, ${untrainedBecause}`
        }),
        methodOf(input),
        ...skippedFaults.map(({ kind, missing }) => `Not injected: ${kind}, for want of ${missing.join(", ")}`),
        `Versions: ${Object.entries(input.versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", ")}`
      ]
    }
  ]
}

export const modelCard = (input: CardInput): { readonly markdown: string; readonly html: string } => {
  const heading = `Model card: ${input.model}`
  const blocks = blocksOf(input)
  return { markdown: toMarkdown(heading, blocks), html: toHtml(heading, blocks) }
}
