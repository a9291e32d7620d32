/** The plots of a model card, of what was judged and beside it of what it competes with. */
import type { Block } from "../artifact/CardDocument.js"
import { barPlot, rocPlot, scoreDistributionPlot, seriesColours, timelinePlot } from "../artifact/CardPlots.js"
import { fixed, title } from "./CardFormat.js"
import { type Evaluation, evaluatedModes } from "./Evaluation.js"
import { faultKinds } from "./Faults.js"
import type { Judgement } from "./Judgement.js"
import { alarmScore } from "./ServiceLoop.js"
import { episodeHours } from "./Trial.js"

export const cardFigures = (evaluation: Evaluation, judgement: Judgement): ReadonlyArray<Block> => {
  const shown = evaluatedModes(evaluation)
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
      caption: "In any mode; lines are 90 % intervals.",
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
