/** Files of this program in real River, real River's files in this program. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { NodeContext } from "@effect/platform-node"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { readModelFile } from "../../src/artifact/ModelFile.js"
import { modelJson } from "../../src/artifact/ModelJson.js"
import { readPickle } from "../../src/artifact/PickleReader.js"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { type Model, named, neverAlarming, type RiverPipeline, type Step } from "../../src/artifact/RiverPipeline.js"
import { readModel } from "../../src/artifact/RiverReader.js"
import { modes } from "../../src/domain/Mode.js"
import { compile } from "../../src/training/Detector.js"
import { untrained } from "../../src/training/HalfSpaceTrees.js"
import { MinMaxScaler } from "../../src/training/MinMaxScaler.js"
import { StandardScaler } from "../../src/training/StandardScaler.js"
import { defaultWhitenedTreesOptions, fitWhitenedTrees } from "../../src/training/Whitening.js"
import { readDocument } from "../support/markdown.js"
import { dirtyRecords, residualPipeline, sampleOf } from "../support/pipelines.js"
import { describeWithPython, runPython } from "../support/python.js"
import { featuresOf, type RiverRecord, vectorOf } from "../support/river.js"

interface Used {
  readonly before: ReadonlyArray<number>
  readonly during: ReadonlyArray<number>
  readonly after: ReadonlyArray<number>
}

const records = { score: dirtyRecords(1000, 1), learn: dirtyRecords(500, 2) }

/** The same use that `use_model.py` makes of a pipeline. */
const use = (pipeline: RiverPipeline, nScore = 1000, nLearn = 500): Used => {
  const features = featuresOf([...records.score, ...records.learn])
  const detector = compile(pipeline, features)
  const scoreAll = () => records.score.slice(0, nScore).map((record) => detector.scoreOne(vectorOf(features, record)))
  const learnAfterScore = (record: RiverRecord) => {
    const x = vectorOf(features, record)
    const score = detector.scoreOne(x)
    detector.learnOne(x)
    return score
  }
  return { before: scoreAll(), during: records.learn.slice(0, nLearn).map(learnAfterScore), after: scoreAll() }
}

const whitened = (seed: number, options = defaultWhitenedTreesOptions) =>
  fitWhitenedTrees(sampleOf(4000, seed), { ...options, seed })

/** River is slow with many trees; its window ends while the records are learned. */
const small = { ...defaultWhitenedTreesOptions, nTrees: 15, height: 5, windowSize: 200 }

const baseline: Model = {
  heating: whitened(1, { ...defaultWhitenedTreesOptions, nTrees: 40 }),
  cooling: whitened(2, small),
  water: whitened(3, { ...small, height: 8 }),
  standby: neverAlarming(new StandardScaler(["temp_flow"]).toStep())
}

const residual: Model = {
  heating: residualPipeline(1),
  cooling: residualPipeline(2),
  water: residualPipeline(3),
  standby: {
    steps: named([new StandardScaler([]).toStep(), new MinMaxScaler([]).toStep()]),
    detector: untrained({ nTrees: 5, height: 4, windowSize: 100, limits: [], seed: 9 })
  }
}

const models = { "whitened trees": baseline, "residuals of every kind of step": residual } as const
const directory = mkdtempSync(join(tmpdir(), "model-"))
afterAll(() => rmSync(directory, { recursive: true }))

const closeTo = (actual: ReadonlyArray<number>, expected: ReadonlyArray<number>, what: string) => {
  assert.strictEqual(actual.length, expected.length)
  for (const [i, score] of actual.entries()) assert.closeTo(score, expected[i]!, 1e-9, `${what}, record ${i}`)
}

const sameUse = (actual: Used, expected: Used, what: string) => {
  for (const phase of ["before", "during", "after"] as const)
    closeTo(actual[phase], expected[phase], `${what} ${phase}`)
}

const read = (bytes: Buffer): Model => Either.getOrThrow(readModel(bytes))

describe.each(Object.entries(models))("%s", (_, model) => {
  it("written and read back is the same, byte by byte and as JSON", () => {
    const bytes = writeModel(model)
    assert.isTrue(isDeepStrictEqual(read(bytes), model))
    assert.isTrue(writeModel(read(bytes)).equals(bytes))
    assert.isTrue(isDeepStrictEqual(JSON.parse(modelJson(model)).modes, model))
  })

  it("scores both healthy and broken records, within 0 and 1", () => {
    const { before } = use(model.heating)
    assert.isTrue(before.every((score) => score >= 0 && score <= 1))
    assert.isAbove(new Set(before).size, 50)
  })
})

it("refers to the classes and functions that docs/model.md names for loaders, and to no others", () => {
  const table = readDocument("docs/model.md").matchAll(/^\| `([a-z_.]+)` \| (`.+`) \|$/gm)
  const named = Array.from(table, ([, module, names]) =>
    [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => `${module}.${name}`)
  ).flat()
  const bytes = writeModel({ ...residual, standby: baseline.standby })
  const isRead = (allowed: ReadonlyArray<string>) => Either.isRight(readPickle(bytes, new Set(allowed)))
  assert.isTrue(isRead(named))
  for (const one of named) assert.isFalse(isRead(named.filter((other) => other !== one)), one)
})

it("refuses products of which no later step says which it reads", () => {
  const products = { kind: "PolynomialExtender", degree: 2 } as const
  const [scaler, projector] = residual.heating.steps.filter(({ kind }) => /Scaler|Projector/.test(kind))
  const grown = residual.heating.detector
  const ungrown = untrained({ nTrees: 5, height: 4, windowSize: 100, limits: [], seed: 9 })
  const isRead = (steps: ReadonlyArray<Step>, detector = grown) =>
    Either.isRight(readModel(writeModel({ ...residual, water: { steps: named(steps), detector } })))
  assert.isTrue(isRead([scaler!, products]))
  assert.isTrue(isRead([products, scaler!, projector!], ungrown))
  assert.isTrue(isRead([products, projector!, products]))
  assert.isFalse(isRead([products, products]))
  assert.isFalse(isRead([products, scaler!], ungrown))
  assert.isFalse(isRead([projector!, products], ungrown))
})

it("a file larger than any model is not read", () =>
  Effect.gen(function* () {
    const file = join(directory, "large.pkl")
    writeFileSync(file, "")
    truncateSync(file, 2 ** 31)
    const error = yield* Effect.flip(readModelFile(file))
    assert.strictEqual(error.message, "it has 2147483648 bytes, and a model has at most 268435456")
    writeFileSync(file, writeModel(residual))
    assert.isTrue(isDeepStrictEqual((yield* readModelFile(file)).model, residual))
  }).pipe(Effect.provide(NodeContext.layer), Effect.runPromise))

it("four modes of the default size stay below 5 MB", () => {
  const [heating, cooling, water, standby] = [whitened(1), whitened(2), whitened(3), whitened(4)]
  assert.isBelow(writeModel({ heating, cooling, water, standby }).length, 5e6)
})

describeWithPython("River 0.23.0", () => {
  it.each(Object.entries(models))("uses %s as this program does, and its own dumps are read", async (name, model) => {
    const file = join(directory, `${name}.pkl`)
    const recordsFile = join(directory, "records.json")
    writeFileSync(file, writeModel(model))
    writeFileSync(recordsFile, JSON.stringify(records))
    const river = await runPython<{
      readonly scores: Record<string, Used>
      readonly shared: number
      readonly load_seconds: number
      readonly joblib_seconds: number
    }>("use_model.py", file, recordsFile)

    for (const mode of modes) {
      const scores = river.scores[mode]!
      sameUse(use(model[mode], scores.before.length, scores.during.length), scores, `${name}, ${mode}`)
    }
    assert.strictEqual(river.shared, 0)
    assert.isTrue(isDeepStrictEqual(read(readFileSync(`${file}.fresh4`)), model))
    const used = read(readFileSync(`${file}.used4`))
    assert.isTrue(isDeepStrictEqual(read(readFileSync(`${file}.used5`)), used))
    for (const mode of modes) {
      const { after } = river.scores[mode]!
      closeTo(use(used[mode], after.length, 0).before, after, `${name}, ${mode}, used`)
    }
    process.stdout.write(
      `${name}: ${(writeModel(model).length / 1e6).toFixed(2)} MB, pickle.load ${river.load_seconds.toFixed(3)} s, ` +
        `joblib.load ${river.joblib_seconds.toFixed(3)} s\n`
    )
  })
})
