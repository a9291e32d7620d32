/** What a model can do and what it cannot, for the people who decide whether to use it. */

import { type Block, toHtml, toMarkdown } from "../artifact/CardDocument.js"
import { type Mode, modes } from "../domain/Mode.js"
import { cardFigures } from "./CardFigures.js"
import { count, fixed, interval, minutes, percent, percentInterval, sentence, title } from "./CardFormat.js"
import { type CaughtFigures, type Evaluation, evaluatedModes, heatpumpsText, type ModeFigures } from "./Evaluation.js"
import { faultKinds, severities } from "./Faults.js"
import { mostFalseAlarmsPerWeek } from "./Gate.js"
import type { Judgement, TriedOn } from "./Judgement.js"
import { alarmScore } from "./ServiceLoop.js"
import { episodeHours, fewestMinutes } from "./Trial.js"

interface CardInput {
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

/** Up to what came of it. */
const trialOf: Readonly<Record<TriedOn, (heatpumps: string) => string>> = {
  "other homes": (heatpumps) => `Tried on ${heatpumps} that it had never seen, the model`,
  "later days": (heatpumps) =>
    `Tried on the last 20 % of the time of ${heatpumps}, of which it had seen the time before, the model`,
  "each with a model of the others": (heatpumps) =>
    `This model knows every home and could be tried on none; models of all homes but one, each tried on the one left out (${heatpumps} in all),`,
  "homes it may know": (heatpumps) => `Tried on ${heatpumps} that it may have been fitted to, the model`
}

const keySentence = ({ evaluation, failedCriteria, isGated, judgement }: CardInput): string => {
  const { caught, falseAlarmsPerWeek } = evaluation.overall
  const alarms = falseAlarmsPerWeek.value
  const falseAlarms =
    alarms === 0
      ? `no false alarm in ${fixed(evaluation.weeks, 1)} heat pump weeks`
      : `${fixed(alarms, 2)} false alarms per heat pump and week (one every ${fixed(1 / alarms, 1)} weeks)`
  const trial = `${trialOf[judgement.triedOn](heatpumpsText(evaluation))} noticed ${percent(caught.share.value)} of the faults put into their data, half of those within ${minutes(caught.medianDelayMinutes)}, and raised ${falseAlarms}.`
  if (failedCriteria.length === 0) return `${trial} It meets every criterion for publication.`
  if (judgement.triedOn === "homes it may know")
    return `${trial} It fails ${failedCriteria.length} of the criteria below.`
  return isGated
    ? `${trial} It was NOT published: ${failedCriteria.length} of the criteria below failed.`
    : `${trial} It fails ${failedCriteria.length} of the criteria below and was written only because the gate was switched off.`
}

/** Below all kinds together, to be named among what to know before use. */
const clearlyBelow = 0.15

/** The kinds that are noticed clearly less than others, the worst first. */
const weakFaults = ({ overall }: Evaluation): ReadonlyArray<string> =>
  faultKinds
    .map((kind) => ({ kind, share: overall.byKind[kind].share.value }))
    .filter(({ share }) => share <= overall.caught.share.value - clearlyBelow)
    .sort((a, b) => a.share - b.share)
    .map(({ kind, share }) => `${kind} (${percent(share)})`)

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

/** How what was fitted and what was tried are told apart. */
const methodOf = ({ evaluation, judgement, seed }: CardInput): string => {
  const { sample, split, triedOn } = judgement
  const homes = sample.installations.length
  if (triedOn === "homes it may know")
    return `Nothing was fitted; tried on ${evaluation.installations} of ${homes} installations`
  if (triedOn === "later days") return "One installation: the first 80 % of its time fitted, the rest tried on"
  return triedOn === "each with a model of the others"
    ? `${homes} installations: each tried with a model of the others; this one is of all`
    : `Split by installation with seed ${seed}: ${split.fit.length} of ${homes} fitted, the thresholds from four folds of these; ${split.test.length} others tried on, and never fitted`
}

const blocksOf = (input: CardInput): ReadonlyArray<Block> => {
  const { evaluation, failedCriteria, judgement } = input
  const { drift, forgetting, sample, skippedFaults, training } = judgement
  const weak = weakFaults(evaluation)
  const noticed = percent(evaluation.overall.caught.share.value)
  const { high, value } = evaluation.overall.falseAlarmsPerWeek
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
        ...(isTrained ? training.warnings.map(sentence) : []),
        ...(weak.length === 0
          ? []
          : [`It notices less of these faults than of others: ${weak.join(", ")}; of all, ${noticed}.`]),
        ...(value <= mostFalseAlarmsPerWeek && high > mostFalseAlarmsPerWeek
          ? [
              `So little was tried that ${fixed(high, 2)} false alarms per heat pump and week are not ruled out, more than the ${mostFalseAlarmsPerWeek} that are allowed.`
            ]
          : []),
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
      text: `False alarms per heat pump and week, all modes: ${interval(evaluation.overall.falseAlarmsPerWeek, 2)}, over ${fixed(evaluation.weeks, 1)} heat pump weeks. In brackets everywhere: 90 % intervals, from drawing the installations anew; of what is counted, at least as wide as the count alone would have it.`
    },
    { kind: "heading", text: "By operating mode" },
    {
      kind: "paragraph",
      text: "ROC-AUC is how well scores tell a fault from normal operation: of one record with a fault and one without, the chance that the one with it scores higher; 1 is always, 0.5 is guessing. Average precision is how pure the highest scores are; 1 is faults only."
    },
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
    { kind: "heading", text: "ROC-AUC by fault" },
    {
      kind: "table",
      head: ["Fault", ...evaluatedModes(evaluation).map(title)],
      rows: faultKinds.map((kind) => [
        title(kind),
        ...evaluatedModes(evaluation).map((mode) => interval(evaluation.byMode[mode].byKind[kind].rocAuc, 3))
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
    ...cardFigures(evaluation, judgement),
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
            ? `${title(mode)}: fitted to ${count.format(records)} records of ${heatpumps} ${heatpumps === 1 ? "heat pump" : "heat pumps"}`
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
