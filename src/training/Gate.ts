/**
 * Whether a model may be published. Every criterion that fails becomes a sentence with its figures; none failing, the
 * challenger replaces the champion.
 *
 * Figures are held against the limits as they are, not the ends of their intervals: few homes pass or fail by chance
 * more often than many do. The card says when a limit lies within the interval.
 */
import { type Model, neverAlarms } from "../artifact/RiverPipeline.js"
import { type Mode, modes } from "../domain/Mode.js"
import type { Evaluation, ModeFigures } from "./Evaluation.js"
import { faultKinds } from "./Faults.js"

export const mostFalseAlarmsPerWeek = 0.5
const largestShareInAlarm = 0.001
const smallestFaultRocAuc = 0.8
/** A threshold so high that no alarm is false, and hardly any raised. Five or six homes of 20 days notice 0.6. */
const smallestShareCaught = 0.4
/** How much worse than the champion a challenger may be: chance alone moves figures by about that. */
const slackRocAuc = 0.01
const slackKindRocAuc = 0.05
const slackCaught = 0.05
/** A mode has fewer episodes than all of them together. */
const slackModeCaught = 0.1

export interface GateInput {
  readonly challenger: Evaluation
  /** The challenger itself: a mode that it is made never to alarm in is not judged. */
  readonly model: Model
  /** Scored again, on the same homes and episodes. */
  readonly champion: Evaluation | undefined
  readonly meanAbsoluteZ: Evaluation
  readonly installations: number
  readonly minInstallations: number
  readonly points: number
  readonly minPoints: number
  /** Largest difference of 100 scores between the model in memory and its file, read back. */
  readonly fileDifference: number
}

const fixed = (value: number, digits = 2) => value.toFixed(digits)
const percent = (share: number) => `${fixed(share * 100, 2)} %`
const largestFileDifference = 1e-9

type AlarmFigures = Pick<ModeFigures, "caught" | "falseAlarmsPerWeek" | "shareInAlarm">

/** A champion that alarms more than is allowed notices more because of that, and is no measure. */
const caughtLess = (where: string, own: AlarmFigures, champion: AlarmFigures, slack: number): ReadonlyArray<string> => {
  const isMeasure =
    champion.falseAlarmsPerWeek.value <= mostFalseAlarmsPerWeek && champion.shareInAlarm <= largestShareInAlarm
  const [ours, theirs] = [own.caught.share.value, champion.caught.share.value]
  return isMeasure && theirs - ours > slack
    ? [`${where}: ${fixed(ours * 100, 1)} % of the faults noticed, the champion notices ${fixed(theirs * 100, 1)} %`]
    : []
}

const modeCriteria = (
  mode: Mode,
  own: ModeFigures,
  champion: ModeFigures | undefined,
  anchor: ModeFigures
): ReadonlyArray<string> => {
  const failed: Array<string> = []
  const alarms = own.falseAlarmsPerWeek.value
  if (alarms > mostFalseAlarmsPerWeek) {
    failed.push(
      `${mode}: ${fixed(alarms)} false alarms per heat pump and week, at most ${mostFalseAlarmsPerWeek} are allowed`
    )
  }
  if (own.shareInAlarm > largestShareInAlarm) {
    failed.push(
      `${mode}: in alarm ${percent(own.shareInAlarm)} of the time on clean data, at most ${percent(largestShareInAlarm)} is allowed`
    )
  }
  const auc = own.meanKindRocAuc.value
  if (!(auc >= smallestFaultRocAuc)) {
    failed.push(`${mode}: mean ROC-AUC of the faults ${fixed(auc, 3)}, at least ${smallestFaultRocAuc} is needed`)
  }
  if (!(auc >= anchor.meanKindRocAuc.value)) {
    failed.push(
      `${mode}: mean ROC-AUC of the faults ${fixed(auc, 3)}, less than the ${fixed(anchor.meanKindRocAuc.value, 3)} of mean |z|`
    )
  }
  if (champion === undefined || champion.notEvaluated !== undefined) return failed
  failed.push(...caughtLess(mode, own, champion, slackModeCaught))
  const best = champion.meanKindRocAuc.value
  if (best - auc > slackRocAuc) {
    failed.push(`${mode}: mean ROC-AUC of the faults ${fixed(auc, 3)}, the champion has ${fixed(best, 3)}`)
  }
  for (const kind of faultKinds) {
    const [ours, theirs] = [own.byKind[kind].rocAuc.value, champion.byKind[kind].rocAuc.value]
    if (theirs - ours > slackKindRocAuc) {
      failed.push(`${mode}: ROC-AUC of "${kind}" ${fixed(ours, 3)}, the champion has ${fixed(theirs, 3)}`)
    }
  }
  return failed
}

/** The criteria that fail; none when the model may be published. */
export const failedCriteria = (input: GateInput): ReadonlyArray<string> => {
  const { challenger, champion, meanAbsoluteZ } = input
  const failed: Array<string> = []
  if (input.installations < input.minInstallations) {
    failed.push(`${input.installations} installations, ${input.minInstallations} are needed`)
  }
  if (input.points < input.minPoints) failed.push(`${input.points} records, ${input.minPoints} are needed`)
  const silent = modes.filter((mode) => neverAlarms(input.model[mode]))
  const evaluated = modes.filter((mode) => challenger.byMode[mode].notEvaluated === undefined && !silent.includes(mode))
  for (const mode of silent) {
    const best = champion?.byMode[mode]
    if (best !== undefined && best.notEvaluated === undefined && best.caught.caught > 0) {
      failed.push(`${mode}: never alarms, the champion caught ${best.caught.caught} of ${best.caught.episodes} faults`)
    }
  }
  if (evaluated.length === 0) {
    failed.push("no mode could be evaluated: too few records that were not fitted")
  }
  for (const mode of modes) {
    if (!challenger.byMode[mode].isFiniteInUnitRange) failed.push(`${mode}: a score is not a number from 0 to 1`)
  }
  const alarms = challenger.overall.falseAlarmsPerWeek.value
  if (alarms > mostFalseAlarmsPerWeek) {
    failed.push(
      `all modes: ${fixed(alarms)} false alarms per heat pump and week, at most ${mostFalseAlarmsPerWeek} are allowed`
    )
  }
  const { caught } = challenger.overall
  if (evaluated.length > 0 && !(caught.share.value >= smallestShareCaught)) {
    failed.push(
      `all modes: ${caught.caught} of ${caught.episodes} faults noticed, at least ${fixed(smallestShareCaught * 100, 0)} % are needed`
    )
  }
  if (champion !== undefined) {
    failed.push(...caughtLess("all modes", challenger.overall, champion.overall, slackCaught))
  }
  for (const mode of evaluated) {
    failed.push(...modeCriteria(mode, challenger.byMode[mode], champion?.byMode[mode], meanAbsoluteZ.byMode[mode]))
  }
  if (!(input.fileDifference <= largestFileDifference)) {
    failed.push(`the file, read back, scores differently by ${input.fileDifference.toExponential(1)}`)
  }
  return failed
}
