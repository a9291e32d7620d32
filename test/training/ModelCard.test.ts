/** A training that is judged, and its card: as text, as figures, and as a page in a browser. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Evaluation } from "../../src/training/Evaluation.js"
import { faultKinds } from "../../src/training/Faults.js"
import type { HomeRecords } from "../../src/training/HomeRecords.js"
import { type Judgement, judge } from "../../src/training/Judgement.js"
import { metricsJson } from "../../src/training/Metrics.js"
import { modelCard } from "../../src/training/ModelCard.js"
import { judgementLines } from "../../src/training/TrainingReport.js"
import { dumpDom, hasChromium, screenshot } from "../support/chromium.js"
import { memoryDataset } from "../support/memoryDataset.js"
import { quiet, smallFleet } from "../support/trainedFleet.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-card-"))
afterAll(() => rmSync(directory, { recursive: true }))

const homes = smallFleet({ homes: 5, days: 3, seed: 41, glitches: 0.0001 })
const options = {
  model: "AERO_SLM",
  range: { fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER },
  minInstallations: 5,
  minPoints: 10_000,
  seed: 42
}
const about = { model: "AERO_SLM", seed: 42, versions: { telemetry: "0.1.0", river: "0.23.0" } }
const judgeFleet = (
  fleet: typeof homes,
  minInstallations = options.minInstallations,
  dataset = memoryDataset("AERO_SLM", fleet)
) =>
  Effect.runPromise(
    judge(dataset, { ...options, minInstallations }, { champion: undefined, evaluateOnly: false }, quiet)
  )
/** `overall`: figures that stand there in place of the judgement's own. */
const cardOf = (
  judgement: Judgement,
  failedCriteria: ReadonlyArray<string>,
  overall: Partial<Evaluation["overall"]> = {}
) => {
  const [evaluation] = judgement.evaluations
  return modelCard({
    ...about,
    judgement,
    evaluation: { ...evaluation!, overall: { ...evaluation!.overall, ...overall } },
    failedCriteria,
    isGated: true
  })
}

let judgement: Judgement
beforeAll(async () => {
  judgement = await judgeFleet(homes)
})

describe("Judgement", () => {
  it("keeps the homes it tests out of the fit, and tries everybody on the same episodes", () => {
    const { fit, test } = judgement.split
    assert.strictEqual(new Set([...fit, ...test]).size, homes.length)
    assert.strictEqual(judgement.training.byMode.heating.heatpumps, fit.length)
    const episodes = judgement.evaluations.map(({ overall }) => overall.caught.episodes)
    assert.strictEqual(new Set(episodes).size, 1)
    assert.isAbove(episodes[0]!, 10)
    assert.isDefined(judgement.drift)
    assert.isTrue(judgement.forgetting?.isEndless)
  })

  it("beats what learns nothing of a home", () => {
    const [residual, , mahalanobis, meanZ] = judgement.evaluations.map(({ byMode }) => byMode.heating.rocAuc.value)
    assert.isAbove(residual!, mahalanobis!)
    assert.isAbove(residual!, meanZ!)
  })
})

/** What a home sends that has no probe of the return. */
const withoutReturn = (home: HomeRecords): HomeRecords => ({
  ...home,
  columns: new Map([...home.columns].filter(([name]) => name !== "temp_heat_pump_return"))
})

describe("Judgement of homes that lack a field", () => {
  it("says that a fault was not injected only where no home that was tried has the fields for it", async () => {
    // Of the fitted ones, which the drift is looked at in.
    const [lacking] = judgement.split.fit
    const one = await judgeFleet(homes.map((home) => (home.installationId === lacking ? withoutReturn(home) : home)))
    assert.isAbove(one.evaluations[0]!.overall.byKind["return offset"].episodes, 0)
    assert.deepStrictEqual(one.skippedFaults, [])
    const all = await judgeFleet(homes.map(withoutReturn))
    assert.deepInclude(all.skippedFaults, { kind: "return offset", missing: ["temp_heat_pump_return"] })
    assert.include(cardOf(all, []).markdown, "* Not injected: return offset, for want of temp_heat_pump_return\n")
  })
})

describe("Judgement of three homes", () => {
  it("says that each was tried with a model of the others, and what is shipped knows them all", async () => {
    const [first, ...rest] = homes.slice(0, 3)
    const three = await judgeFleet([withoutReturn(first!), ...rest], 2)
    assert.strictEqual(three.training.byMode.heating.heatpumps, 3)
    assert.deepStrictEqual(three.skippedFaults, [])
    const { html, markdown } = cardOf(three, [])
    assert.match(
      markdown,
      /^This model knows every home and could be tried on none; models of all homes but one, each tried on the one left out \(3 heat pumps in all\), noticed \d+ % of /m
    )
    assert.include(markdown, "* 3 installations: each tried with a model of the others; this one is of all\n")
    for (const text of [html, markdown]) assert.notMatch(text, /never seen|Not injected/)
    assert.match(judgementLines(three, [])[0]![1], /, on 3 heat pumps, each with a model of the others$/)
    assert.strictEqual(JSON.parse(metricsJson(three, [], about)).tried_on, "each with a model of the others")
  })
})

describe("ModelCard", () => {
  it("says in its first sentence what a household will notice", () => {
    const { markdown } = cardOf(judgement, [])
    const [, first] = markdown.split("\n\n")
    assert.match(
      first!,
      /^Tried on 1 heat pump that it had never seen, the model noticed \d+ % of the faults .* raised (no false alarm in [\d.]+ heat pump weeks|[\d.]+ false alarms per heat pump and week \(one every [\d.]+ weeks\))\./
    )
    for (const kind of faultKinds) assert.include(markdown.toLowerCase(), kind.toLowerCase())
    for (const sensor of judgement.training.choice.sensors) assert.include(markdown, sensor)
    for (const warning of judgement.training.warnings)
      assert.include(markdown, `* ${warning[0]!.toUpperCase()}${warning.slice(1)}.\n`)
    assert.notInclude(markdown, "NaN")
    assert.notInclude(markdown, "undefined")
  })

  it("warns where more false alarms than are allowed may have been missed for want of time", () => {
    const markdownOf = (value: number, high: number) =>
      cardOf(judgement, [], { falseAlarmsPerWeek: { value, low: 0, high } }).markdown
    assert.include(
      markdownOf(0, 0.7),
      "* So little was tried that 0.70 false alarms per heat pump and week are not ruled out, more than the 0.5 that are allowed.\n"
    )
    assert.notInclude(markdownOf(0.1, 0.45), "So little was tried")
    assert.notInclude(markdownOf(0.6, 0.9), "So little was tried")
  })

  it("names what it notices clearly less than the rest among the cautions, the worst first", () => {
    const [evaluation] = judgement.evaluations
    const { byKind, caught } = evaluation!.overall
    const share = (value: number) => ({ ...caught, share: { ...caught.share, value } })
    const weakened = (charge: number, cycling: number) => {
      const even = Object.fromEntries(faultKinds.map((kind) => [kind, share(0.9)]))
      const byKindNow = {
        ...byKind,
        ...even,
        "refrigerant undercharge": share(charge),
        "short cycling": share(cycling)
      }
      return cardOf(judgement, [], { caught: share(0.88), byKind: byKindNow }).markdown
    }
    assert.include(
      weakened(0.66, 0.7),
      "* It notices less of these faults than of others: refrigerant undercharge (66 %), short cycling (70 %); of all, 88 %.\n"
    )
    assert.notInclude(weakened(0.8, 0.8), "It notices less")
  })

  it("says why a model was refused", () => {
    const { html, markdown } = cardOf(judgement, ["heating: 3.00 false alarms"])
    assert.include(markdown, "It was NOT published: 1 of the criteria below failed.\n\n* heating: 3.00 false alarms")
    assert.include(html, "<li>heating: 3.00 false alarms</li>")
  })

  it("brings everything with it", () => {
    const { html } = cardOf(judgement, [])
    assert.notMatch(html, /(src|href)=/)
    assert.notMatch(html, /url\(|@import|<script/)
    assert.deepStrictEqual(
      [...html.matchAll(/https?:\/\/[^"'<\s]+/g)]
        .map(([url]) => url)
        .filter((url) => !url.startsWith("http://www.w3.org/")),
      []
    )
  })

  it("has figures that are the same for the same data", async () => {
    const metrics = metricsJson(judgement, [], about)
    const { evaluations } = JSON.parse(metrics)
    assert.deepStrictEqual(
      Object.keys(evaluations),
      judgement.evaluations.map(({ name }) => name)
    )
    const again = await judgeFleet([...homes].reverse())
    assert.strictEqual(metricsJson(again, [], about), metrics)
    assert.strictEqual(cardOf(again, []).html, cardOf(judgement, []).html)
  })
})

interface SeenPlot {
  readonly label: string
  readonly width: number
  readonly height: number
  readonly marks: number
  readonly texts: ReadonlyArray<string>
  readonly smallestFontPx: number
  readonly clipped: ReadonlyArray<string>
}

/** What a person would look for in each plot, measured by the browser. */
const look = `<script>
const plots = [...document.querySelectorAll("svg")].map((svg) => {
  const frame = svg.getBoundingClientRect()
  const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim() !== "")
  const isOutside = (text) => {
    const box = text.getBoundingClientRect()
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1
  }
  return {
    label: svg.getAttribute("aria-label"),
    width: frame.width,
    height: frame.height,
    marks: [...svg.querySelectorAll("path,rect,circle,line")].filter((mark) => {
      const box = mark.getBBox()
      return box.width + box.height > 0
    }).length,
    texts: texts.map((text) => text.textContent),
    smallestFontPx: Math.min(...texts.map((text) => parseFloat(getComputedStyle(text).fontSize))),
    clipped: texts.filter(isOutside).map((text) => text.textContent)
  }
})
document.body.textContent = "seen:" + JSON.stringify(plots) + ":seen"
</script>`

describe.skipIf(!hasChromium)("ModelCard in a browser", () => {
  it("shows every plot with axes, units and readable labels, on light and on dark ground", async () => {
    const { html } = cardOf(judgement, [])
    const page = join(directory, "card.html")
    const probe = join(directory, "probe.html")
    writeFileSync(page, html)
    writeFileSync(probe, html.replace("</body>", `${look}</body>`))
    const dom = (await dumpDom(probe)).replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")
    const plots: ReadonlyArray<SeenPlot> = JSON.parse(/seen:(.*):seen/s.exec(dom)![1]!)
    const evaluated = Object.values(judgement.evaluations[0]!.byMode).filter((mode) => mode.notEvaluated === undefined)
    assert.isNotEmpty(evaluated)
    assert.lengthOf(plots, 2 * evaluated.length + 3)
    for (const plot of plots) {
      assert.isAbove(plot.width, 300, plot.label)
      assert.isAbove(plot.height, 150, plot.label)
      assert.isAbove(plot.marks, 10, plot.label)
      assert.isAtLeast(plot.smallestFontPx, 12, plot.label)
      assert.deepStrictEqual(plot.clipped, [], plot.label)
      assert.isTrue(
        plot.texts.some((text) => /\(.*(%|no unit|UTC).*\)/.test(text)),
        `${plot.label} has no axis with a unit: ${plot.texts.join(", ")}`
      )
    }
    const images = await Promise.all(
      [false, true].map(async (isDark) => {
        const image = join(directory, `card-${isDark}.png`)
        await screenshot(page, image, isDark)
        return readFileSync(image)
      })
    )
    for (const image of images) assert.isAbove(image.length, 50_000)
    assert.notDeepEqual(images[0], images[1])
  })
})
