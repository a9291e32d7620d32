/** Running scalers and means against the same figures taken of all values at once. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { MinMaxScaler } from "../../src/training/MinMaxScaler.js"
import { RollingMean } from "../../src/training/RollingMean.js"
import { StandardScaler } from "../../src/training/StandardScaler.js"

const nan = Number.NaN
const features = ["a", "b", "c"]
const value = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -1000, max: 1000 }).map((n) => n / 8) },
  { weight: 1, arbitrary: fc.constant(nan) }
)
const rows = fc.array(fc.tuple(value, value, fc.constantFrom(nan, 7)), { minLength: 1, maxLength: 30 })
const columnsOf = (records: ReadonlyArray<ReadonlyArray<number>>) =>
  features.map((_, i) => records.map((record) => record[i]!).filter((x) => !Number.isNaN(x)))
const mean = (values: ReadonlyArray<number>) => values.reduce((sum, x) => sum + x, 0) / values.length
const variance = (values: ReadonlyArray<number>) => mean(values.map((x) => (x - mean(values)) ** 2))
const close = (actual: number, expected: number) =>
  assert.closeTo(actual, expected, 1e-9 * Math.max(1, Math.abs(expected)))

type Scaler = MinMaxScaler | StandardScaler
const learn = (scaler: Scaler, records: ReadonlyArray<ReadonlyArray<number>>) => {
  for (const record of records) scaler.learnOne(Float64Array.from(record))
}
const transform = (scaler: Scaler, record: ReadonlyArray<number>) => {
  const out = new Float64Array(record.length)
  scaler.transformOne(Float64Array.from(record), out)
  return [...out]
}
/** What was saved comes back; what was learned meanwhile leaves no trace; a step carries on where it ended. */
const checkStates = (scaler: Scaler, again: () => Scaler, records: ReadonlyArray<ReadonlyArray<number>>) => {
  const step = scaler.toStep()
  const restore = scaler.save()
  learn(scaler, [[9_000, -9_000, 1], ...records])
  restore()
  assert.deepStrictEqual(scaler.toStep(), step)
  assert.deepStrictEqual(again().toStep(), step)
}

describe("StandardScaler", () => {
  it.each([true, false])("scales by mean and population variance (withStd %s)", (withStd) => {
    const empty = { kind: "StandardScaler", withStd, features: [] } as const
    fc.assert(
      fc.property(rows, (records) => {
        const scaler = new StandardScaler(features, empty)
        learn(scaler, records)
        const columns = columnsOf(records)
        const seen = features.flatMap((feature, i) =>
          columns[i]!.length > 0 ? [{ feature, values: columns[i]! }] : []
        )
        const step = scaler.toStep()
        assert.deepStrictEqual(
          step.features.map(({ feature, count }) => ({ feature, count })),
          seen.map(({ feature, values }) => ({ feature, count: values.length }))
        )
        step.features.forEach((entry, k) => {
          close(entry.mean, mean(seen[k]!.values))
          close(entry.variance, withStd ? variance(seen[k]!.values) : 0)
        })
        for (const [i, scaled] of transform(scaler, records[0]!).entries()) {
          const centred = records[0]![i]! - scaler.means[i]!
          const deviation = withStd ? Math.sqrt(scaler.variances[i]!) : 1
          if (Number.isNaN(centred)) assert.isNaN(scaled)
          else close(scaled, deviation === 0 ? 0 : centred / deviation)
        }
        checkStates(scaler, () => new StandardScaler(features, scaler.toStep()), records)
      })
    )
  })

  it("knows nothing at first: 0 for every value", () => {
    assert.deepStrictEqual(transform(new StandardScaler(features), [3, nan, 0]), [0, nan, 0])
    assert.isTrue(new StandardScaler(features).toStep().withStd)
  })
})

describe("MinMaxScaler", () => {
  it("scales by the extremes", () => {
    fc.assert(
      fc.property(rows, (records) => {
        const scaler = new MinMaxScaler(features)
        learn(scaler, records)
        const columns = columnsOf(records)
        assert.deepStrictEqual(
          scaler.toStep().features,
          features.flatMap((feature, i) =>
            columns[i]!.length > 0 ? [{ feature, min: Math.min(...columns[i]!), max: Math.max(...columns[i]!) }] : []
          )
        )
        for (const record of [...records, [2_000, -2_000, 7]]) {
          assert.deepStrictEqual(
            transform(scaler, record),
            record.map((x, i) => {
              if (Number.isNaN(x)) return nan
              if (columns[i]!.length === 0) return Number.POSITIVE_INFINITY
              const [min, max] = [Math.min(...columns[i]!), Math.max(...columns[i]!)]
              return min === max ? 0 : (x - min) / (max - min)
            })
          )
        }
        checkStates(scaler, () => new MinMaxScaler(features, scaler.toStep()), records)
      })
    )
  })
})

describe("RollingMean", () => {
  it("is the mean of the last values, also when it carries on from a state or goes back to one", () => {
    const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), values, fc.nat(39), (windowSize, sent, at) => {
        const rolling = new RollingMean({ windowSize })
        assert.strictEqual(rolling.get(), 0)
        const cut = at % sent.length
        const seen: Array<number> = []
        let carried: RollingMean | undefined
        sent.forEach((value, i) => {
          if (i === cut) {
            const restore = rolling.save()
            for (let k = 0; k < windowSize; k++) rolling.update(1e6)
            restore()
            carried = new RollingMean({ windowSize, seen: { mean: rolling.get(), window: seen.slice(-windowSize) } })
            assert.strictEqual(carried.get(), rolling.get())
          }
          rolling.update(value)
          carried?.update(value)
          seen.push(value)
          close(rolling.get(), mean(seen.slice(-windowSize)))
          if (carried !== undefined) assert.strictEqual(carried.get(), rolling.get())
        })
      })
    )
  })
})
