import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { addLines } from "../../src/store/LineColumns.js"
import { RecordJoiner } from "../../src/training/RecordJoiner.js"
import { SeededRandom } from "../support/random.js"

type Range = ConstructorParameters<typeof RecordJoiner>[0]
const all: Range = { fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.POSITIVE_INFINITY }
const plain = (result: ReturnType<RecordJoiner["finish"]>) => ({
  timestampsMs: Array.from(result.timestampsMs),
  columns: Object.fromEntries([...result.columns].map(([name, values]) => [name, Array.from(values)]))
})

const sample = fc.record({
  sensor: fc.constantFrom("a", "b", "c"),
  timestampMs: fc.oneof(
    fc.integer({ min: 0, max: 60_000 }),
    fc.integer({ min: 0, max: 20 }).map((i) => i * 60_000)
  ),
  value: fc.oneof(
    fc.double(),
    fc.constantFrom<unknown>(1, 2, 0, -0, null, "7", true, Number.NaN, Number.POSITIVE_INFINITY)
  )
})

const range = fc.constantFrom<Range>(all, { fromMs: 60_000, untilMs: 600_000 }, { fromMs: 0, untilMs: 60_000 })

/** The definition, without regard to cost. */
const expected = (
  samples: ReadonlyArray<{ sensor: string; timestampMs: number; value: unknown }>,
  { fromMs, untilMs } = all
) => {
  const records = new Map<number, Map<string, number>>()
  for (const { sensor, timestampMs, value } of samples) {
    if (typeof value !== "number" || !Number.isFinite(value) || timestampMs < fromMs || timestampMs >= untilMs) continue
    const record = records.get(timestampMs) ?? new Map<string, number>()
    records.set(timestampMs, record)
    record.set(sensor, Math.max(value + 0, record.get(sensor) ?? Number.NEGATIVE_INFINITY))
  }
  const slots = new Set<number>()
  const kept = [...records]
    .sort(([a], [b]) => a - b)
    .filter(([timestampMs]) => {
      const slot = Math.floor(timestampMs / 10_000)
      return !slots.has(slot) && slots.add(slot)
    })
  return {
    timestampsMs: kept.map(([timestampMs]) => timestampMs),
    columns: Object.fromEntries(
      ["a", "b", "c"]
        .filter((sensor) => [...records.values()].some((record) => record.has(sensor)))
        .map((sensor) => [sensor, kept.map(([, record]) => record.get(sensor) ?? Number.NaN)])
    )
  }
}

describe("RecordJoiner", () => {
  it("gives the same records whatever the pieces and their order", () => {
    fc.assert(
      fc.property(fc.array(fc.array(sample, { maxLength: 30 }), { maxLength: 12 }), range, (pieces, range) => {
        const joiner = new RecordJoiner(range)
        for (const piece of pieces) {
          for (const sensor of ["a", "b", "c"]) {
            const own = piece.filter((one) => one.sensor === sensor)
            joiner.add(
              sensor,
              own.map(({ timestampMs }) => timestampMs),
              own.map(({ value }) => value)
            )
          }
        }
        const { columns, timestampsMs } = plain(joiner.finish())
        const definition = expected(pieces.flat(), range)
        assert.deepStrictEqual(timestampsMs, definition.timestampsMs)
        // A sensor whose every sample was thinned out may be left out, or be empty.
        for (const [sensor, values] of Object.entries(definition.columns)) {
          assert.deepStrictEqual(columns[sensor] ?? values.map(() => Number.NaN), values)
        }
      })
    )
  })

  it("gives them also when most are laid out before the rest comes, before, between and behind", () => {
    const seeded = new SeededRandom(5)
    const random = () => seeded.uniform()
    const joiner = new RecordJoiner({ fromMs: 500_000, untilMs: 200_000_000 })
    const pieces = Array.from({ length: 60 }, (_, i) => {
      // Early pieces fill one half of the time, later ones all of it; each a third of its samples in no order.
      const fromMs = i < 25 ? 100_000_000 : 0
      const times = Array.from({ length: 4_000 }, () => fromMs + Math.floor(random() * 20_000) * 5_000 + (i % 2))
      const timestampsMs = [...times.slice(1_000).sort((a, b) => a - b), ...times.slice(0, 1_000)]
      return timestampsMs.map((timestampMs) => ({
        sensor: "abc"[i % 3]!,
        timestampMs,
        value: random() < 0.1 ? null : Math.floor(random() * 100) - 50
      }))
    })
    for (const piece of pieces) {
      joiner.add(
        piece[0]!.sensor,
        piece.map(({ timestampMs }) => timestampMs),
        piece.map(({ value }) => value)
      )
    }
    assert.deepStrictEqual(plain(joiner.finish()), expected(pieces.flat(), { fromMs: 500_000, untilMs: 200_000_000 }))
  })

  it("lays out long series in many pieces anew as they come", () => {
    const joiner = new RecordJoiner(all)
    const count = 200_000
    const size = 5_000
    for (let piece = count / size - 1; piece >= 0; piece--) {
      const timestamps = Array.from({ length: size }, (_, i) => (piece * size + i) * 60_000)
      joiner.add(
        "a",
        timestamps,
        timestamps.map((t) => t / 2)
      )
      joiner.add("b", timestamps.slice(piece % 2), timestamps.slice(piece % 2))
    }
    const { columns, timestampsMs } = joiner.finish()
    assert.strictEqual(timestampsMs.length, count)
    assert.isTrue(columns.get("a")!.every((value, i) => value === i * 30_000))
    assert.isTrue(
      columns.get("b")!.every((value, i) => (i % (2 * size) === size ? Number.isNaN(value) : value === i * 60_000))
    )
  })
})

describe("LineColumns", () => {
  it("reads numbers as JavaScript does, and fields in any order", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.shuffledSubarray(["a", "bb", "a_b", "unwanted"], { minLength: 1 }),
            fc.array(
              fc.oneof(
                fc.double({ noNaN: true, noDefaultInfinity: true }),
                fc.integer(),
                fc.integer().map((n) => n / 100)
              ),
              { minLength: 4, maxLength: 4 }
            )
          )
        ),
        (records) => {
          const lines = records.map(
            ([names, values], i) =>
              `heatpump_metrics,model=x ${names.map((name, k) => `${name}=${values[k]}`).join()} ${i * 60_000}\n`
          )
          const joiner = new RecordJoiner(all)
          addLines(Buffer.from(lines.join("")), joiner, new Set(["a", "bb", "a_b"]))
          const { columns, timestampsMs } = joiner.finish()
          const expected = new RecordJoiner(all)
          records.forEach(([names, values], i) => {
            names.forEach((name, k) => {
              if (name !== "unwanted") expected.add(name, [i * 60_000], [Number(String(values[k]))])
            })
          })
          assert.deepStrictEqual({ columns, timestampsMs }, expected.finish())
        }
      )
    )
  })
})
