/** One real heat pump for four days: far too little, and it must be said. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { evaluate } from "../../src/training/Evaluation.js"
import { failedCriteria } from "../../src/training/Gate.js"
import { type Judgement, judge } from "../../src/training/Judgement.js"
import { metricsJson } from "../../src/training/Metrics.js"
import { modelCard } from "../../src/training/ModelCard.js"
import { riverCandidate } from "../../src/training/RiverCandidate.js"
import { readTrainable, trainWhitened } from "../../src/training/Trainer.js"
import { judgementLines } from "../../src/training/TrainingReport.js"
import { tryHome } from "../../src/training/Trial.js"
import { daikinHome } from "../support/daikin.js"
import { memoryDataset } from "../support/memoryDataset.js"
import { quiet } from "../support/trainedFleet.js"

const options = {
  model: "Altherma",
  range: { fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER },
  minInstallations: 1,
  minPoints: 1_000,
  seed: 42
}

let judgement: Judgement
beforeAll(async () => {
  judgement = await Effect.runPromise(
    judge(memoryDataset("Altherma", [daikinHome()]), options, { champion: undefined, evaluateOnly: false }, quiet)
  )
})

describe("A recording of a real Daikin Altherma", () => {
  it("trains on the first 80 % of its time, with a wider threshold and a warning", () => {
    const { byMode, choice, warnings } = judgement.training
    assert.isUndefined(byMode.heating.untrainedBecause)
    assert.include(choice.missing, "temp_outside_avg")
    assert.isTrue(warnings.some((warning) => /heating: 1 heat pumps? of \d days .* raised by 30 %/.test(warning)))
  })

  it("stays quiet on the rest, and is refused: nothing could be judged on so little", () => {
    const [evaluation] = judgement.evaluations
    assert.isBelow(evaluation!.weeks, 0.2)
    assert.isAtMost(evaluation!.overall.falseAlarmsPerWeek.value, 0.5)
    const failed = failedCriteria({
      ...options,
      challenger: evaluation!,
      model: judgement.training.model,
      champion: undefined,
      meanAbsoluteZ: judgement.meanAbsoluteZ,
      installations: 1,
      points: 12_000,
      fileDifference: 0
    })
    assert.deepStrictEqual(failed, ["no mode could be evaluated: too few records that were not fitted"])
    const { markdown } = modelCard({
      model: "Altherma",
      judgement,
      evaluation: evaluation!,
      failedCriteria: failed,
      isGated: true,
      seed: 42,
      versions: {}
    })
    assert.match(
      markdown,
      /^Tried on the last 20 % of the time of 1 heat pump, of which it had seen the time before, /m
    )
    assert.include(markdown, "* One installation: the first 80 % of its time fitted, the rest tried on")
    assert.notInclude(markdown, "never seen")
    assert.match(judgementLines(judgement, failed)[0]![1], /, on the last 20 % of the time of 1 heat pump, not fitted$/)
    assert.include(markdown, "over 0.1 heat pump weeks")
    assert.notInclude(markdown, "NaN")
  })
  it("fits the baseline that it is compared with to the same 80 % of the time", async () => {
    const home = daikinHome()
    const [firstMs, lastMs] = [home.timestampsMs[0]!, home.timestampsMs.at(-1)!]
    const end = home.timestampsMs.findIndex((timeMs) => timeMs >= firstMs + 0.8 * (lastMs - firstMs))
    const early = {
      ...home,
      timestampsMs: home.timestampsMs.slice(0, end),
      columns: new Map(Array.from(home.columns, ([name, values]) => [name, values.slice(0, end)]))
    }
    const { model } = await Effect.runPromise(
      readTrainable(memoryDataset("Altherma", [early]), options, quiet).pipe(
        Effect.andThen((sample) => trainWhitened(sample, options.seed, quiet))
      )
    )
    const candidate = riverCandidate("whitened half-space trees", model)
    const [trial] = tryHome([candidate], home, 0, { seed: options.seed, episodesPerHome: 120, countFromShare: 0.8 })
    const expected = evaluate(candidate.name, [trial!], options.seed)
    const baseline = judgement.evaluations.find(({ name }) => name === candidate.name)!
    assert.isAbove(expected.byMode.heating.cleanScore.q95, 0)
    assert.deepStrictEqual(baseline.byMode.heating.cleanScore, expected.byMode.heating.cleanScore)
  })

  it("judged as a champion, claims neither that it was fitted nor that it was not", async () => {
    const alone = await Effect.runPromise(
      judge(
        memoryDataset("Altherma", [daikinHome()]),
        options,
        { champion: judgement.training.model, evaluateOnly: true },
        quiet
      )
    )
    const about = { model: "Altherma", seed: 42, versions: {} }
    const { markdown } = modelCard({
      ...about,
      judgement: alone,
      evaluation: alone.evaluations[0]!,
      failedCriteria: ["too few"],
      isGated: true
    })
    assert.match(
      markdown,
      /^Tried on 1 heat pump that it may have been fitted to, .* It fails 1 of the criteria below\.$/m
    )
    assert.include(markdown, "* Nothing was fitted; tried on 1 of 1 installations")
    assert.notMatch(markdown, /never seen|NOT published|to fit|fitted to [\d,]+ records|works without/)
    const { sensors, warnings } = JSON.parse(metricsJson(alone, [], about))
    assert.deepStrictEqual([sensors, warnings], [[], []])
    assert.match(judgementLines(alone, [])[0]![1], /, on 1 heat pump that it may have been fitted to$/)
  })
})
