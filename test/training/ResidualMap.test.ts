/** The residual map against its definition; its pipeline, made of River's steps, against the formulas. */
import { assert, describe, it } from "@effect/vitest"
import { inverse, Matrix } from "ml-matrix"
import { compile } from "../../src/training/Detector.js"
import { HomeReplay } from "../../src/training/HomeReplay.js"
import type { ModeRecords } from "../../src/training/ModeRecords.js"
import { quantile } from "../../src/training/Quantile.js"
import { fitResidualMap, type ResidualMap, residualsOf } from "../../src/training/ResidualMap.js"
import type { ResidualModel } from "../../src/training/ResidualModel.js"
import { frozenCount, residualPipeline } from "../../src/training/ResidualPipeline.js"
import { SeededRandom } from "../support/random.js"

const sensors = ["power_thermal", "temp_outside", "power_current", "temp_heat_pump_flow", "temp_heat_source_input"]
const d = sensors.length

/** A home whose sensors depend on each other, and a few records of which are far off. */
const homeOf = (home: number, records: number): ModeRecords => {
  const random = new SeededRandom(7, home)
  const values = new Float64Array(records * d)
  for (let i = 0; i < records; i++) {
    const outside = home + 6 * random.normal()
    const heat = Math.max(0.5, (20 - outside) / 3 + 0.2 * random.normal())
    const flow = 28 + 1.2 * heat + home + 0.4 * random.normal()
    const power = heat / (5 - 0.05 * flow + 0.04 * outside) + 0.03 * random.normal()
    const odd = random.uniform() < 0.015 ? 12 * random.normal() : 0
    values.set([heat, outside, power + odd / 10, flow + odd, 40 + 0.01 * random.normal()], i * d)
  }
  const timestampsMs = Float64Array.from({ length: records }, (_, i) => i * 60_000)
  return { installationId: `home-${home}`, coveredDays: 1, keptShare: 1, timestampsMs, values }
}
const rowsOf = ({ values }: ModeRecords, width = d) =>
  Array.from({ length: values.length / width }, (_, i) => Array.from(values.subarray(i * width, (i + 1) * width)))
const meanOf = (values: ReadonlyArray<number>) => values.reduce((sum, x) => sum + x, 0) / values.length
const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

const expanded = ({ deviation, mean, products }: ResidualMap, row: ReadonlyArray<number>) => {
  const z = row.map((x, j) => (x - mean[j]!) / deviation[j]!)
  return [...z, ...products.map(([a, b]) => z[a]! * z[b]!)]
}
const covarianceOf = (rows: ReadonlyArray<ReadonlyArray<number>>) => {
  const columns = rows[0]!.map((_, k) => rows.map((row) => row[k]!))
  const centred = columns.map((column) => {
    const mean = meanOf(column)
    return column.map((x) => x - mean)
  })
  return centred.map((a) => centred.map((b) => dot(a, b) / rows.length))
}
const average = (matrices: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>) =>
  matrices[0]!.map((row, a) => row.map((_, b) => meanOf(matrices.map((matrix) => matrix[a]![b]!))))

/** C: within homes, without the 1 % of each that lie farthest from its median. */
const trimmedCovariance = (map: ResidualMap, homes: ReadonlyArray<ModeRecords>) => {
  const tables = homes.map((home) => rowsOf(home, map.sensors.length).map((row) => expanded(map, row)))
  const raw = average(tables.map(covarianceOf))
  const precision = inverse(new Matrix(raw.map((row, a) => row.map((c, b) => c + (a === b ? 1e-4 : 0))))).to2DArray()
  const kept = tables.map((rows) => {
    const step = Math.max(1, Math.floor(rows.length / 2_000))
    const sampled = rows.filter((_, i) => i % step === 0).slice(0, Math.floor(rows.length / step))
    const median = rows[0]!.map((_, k) =>
      quantile(
        Float64Array.from(sampled, (row) => row[k]!),
        0.5
      )
    )
    const distances = rows.map((row) => {
      const centred = row.map((x, k) => x - median[k]!)
      return dot(
        centred,
        precision.map((weights) => dot(weights, centred))
      )
    })
    const limit = quantile(Float64Array.from(distances), 0.99)
    return rows.filter((_, i) => distances[i]! <= limit)
  })
  return average(kept.map(covarianceOf))
}

const homes = () => [homeOf(0, 150), homeOf(3, 4_001), homeOf(6, 90)]

describe("fitResidualMap", () => {
  it("centres and scales by the fleet, and predicts each sensor by ridge regression on the others, to variance 1", () => {
    const fleet = homes()
    const map = fitResidualMap(sensors, fleet)
    const columns = sensors.map((_, j) =>
      Float64Array.from(fleet.flatMap((home) => rowsOf(home).map((row) => row[j]!)))
    )
    columns.forEach((column, j) => {
      assert.strictEqual(map.mean[j], quantile(column, 0.5))
      const average = meanOf([...column])
      const sd = Math.sqrt(meanOf(Array.from(column, (x) => (x - average) ** 2)))
      // The last one stands still: what a logger resolves.
      assert.closeTo(map.deviation[j]!, j === 4 ? 0.1 : sd, 1e-9)
    })
    const names = map.products.map(([a, b]) => `${sensors[a]} ${sensors[b]}`)
    assert.deepStrictEqual(names, [
      "temp_outside temp_outside",
      "temp_heat_pump_flow temp_heat_pump_flow",
      "power_thermal power_thermal",
      "temp_outside temp_heat_pump_flow",
      "power_thermal temp_outside",
      "power_thermal temp_heat_pump_flow",
      "temp_outside power_current"
    ])
    const covariance = trimmedCovariance(map, fleet)
    const width = d + map.products.length
    sensors.forEach((sensor, j) => {
      const direction = Array.from({ length: width }, (_, a) => map.weights[a * d + j]!)
      const own = direction[j]!
      map.products.forEach((product, p) => {
        if (product.includes(j)) assert.strictEqual(direction[d + p], 0)
      })
      // The normal equations, (C_oo + λ I) b = C_oj, with the direction being unit(j) − b.
      direction.forEach((weight, o) => {
        if (o === j || (o >= d && map.products[o - d]!.includes(j))) return
        assert.closeTo((dot(covariance[o]!, direction) + 0.003 * weight) / own, 0, 1e-9, `${sensor}, column ${o}`)
      })
      const variance = dot(
        direction,
        covariance.map((row) => dot(row, direction))
      )
      const finest = (sensor.startsWith("power_") ? 0.01 : 0.05) / map.deviation[j]!
      assert.closeTo(Math.max(variance, (finest * own) ** 2), 1, 1e-9, sensor)
    })
    // What stands still has a residual finer than its logger: the floor is what scales it.
    assert.strictEqual(map.weights[4 * d + 4], 0.1 / 0.05)
  })

  it("has the products of the sensors that are there", () => {
    const without = fitResidualMap(
      sensors.slice(0, 2),
      [homeOf(0, 150)].map((home) => ({
        ...home,
        values: Float64Array.from(rowsOf(home).flatMap((row) => row.slice(0, 2)))
      }))
    )
    assert.deepStrictEqual(without.products, [
      [1, 1],
      [0, 0],
      [0, 1]
    ])
  })

  it("gives a sensor that stands still the finest deviation that a logger shows", () => {
    const still: ModeRecords = {
      ...homeOf(0, 10),
      values: Float64Array.from({ length: 20 }, (_, k) => (k % 2 ? 5 : 0))
    }
    assert.deepStrictEqual([...fitResidualMap(["power_thermal", "temp_outside"], [still]).deviation], [0.02, 0.1])
  })
})

describe("residualsOf", () => {
  it("is the expanded record times the weights", () => {
    const home = homeOf(6, 90)
    const map = fitResidualMap(sensors, [homeOf(0, 150), home])
    const residuals = residualsOf(map, home)
    rowsOf(home).forEach((row, i) => {
      const e = expanded(map, row)
      for (let j = 0; j < d; j++) {
        assert.closeTo(
          residuals[i * d + j]!,
          e.reduce((sum, x, a) => sum + x * map.weights[a * d + j]!, 0),
          1e-9
        )
      }
    })
  })
})

const model: ResidualModel = {
  map: {
    sensors: ["temp_outside", "power_thermal"],
    mean: Float64Array.of(5, 4),
    deviation: Float64Array.of(6, 2),
    products: [
      [0, 0],
      [0, 1]
    ],
    weights: Float64Array.of(1.5, -0.5, 0.7, 2, 0, 0.3, -0.2, 0)
  },
  prior: { count: 20, mean: Float64Array.of(0.1, -0.2), variance: Float64Array.of(1.2, 0.8) },
  sightingsPerRecord: 1,
  windowSightings: 5,
  windowLimit: Float64Array.of(4, 3),
  scale: Float64Array.of(0.9, 1.1, 0.4, 0.5),
  threshold: 3
}

describe("residualPipeline", () => {
  it("scores as the formulas do while it learns a home, through glitches and values out of range", () => {
    const random = new SeededRandom(11)
    const detector = compile(residualPipeline(model), model.map.sensors)
    const replay = new HomeReplay(model.prior, model.windowSightings, model.windowLimit)
    const limits = [-45, 95, -30, 60]
    const seen = { above: 0, below: 0, learned: 0, outOfRange: 0 }
    for (let i = 0; i < 1_000; i++) {
      const spread = i % 11 === 0 ? 12 : 1
      const record = Float64Array.of(5 + 6 * spread * random.normal(), 4 + 2 * spread * random.normal())
      if (i % 97 === 3) record[i % 2] = [...limits, -45.001, 1e31][Math.floor(i / 97) % 6]!
      const own = { ...homeOf(0, 1), values: record }
      const residuals = residualsOf(model.map, own)
      replay.look(residuals, 0)
      const s = replay.columns.reduce((sum, g, c) => sum + (g / model.scale[c]!) ** 2 / 4, 0)
      const score = detector.scoreOne(record)
      assert.strictEqual(score > 0.7, s >= model.threshold, `record ${i}: S ${s}, score ${score}`)
      if (s > model.threshold / 20 && s < model.threshold * 5) {
        // Half of a leaf, of which there are 64 to a factor of 24.
        assert.closeTo(score / (1 - score), s / ((3 / 7) * model.threshold), (s / ((3 / 7) * model.threshold)) * 0.026)
      }
      seen[score > 0.7 ? "above" : "below"]++
      const [outside, heat] = record
      if (outside! >= -45 && outside! < 95 && heat! >= -30 && heat! < 60) {
        replay.learn(residuals, 0)
        seen.learned++
      } else seen.outOfRange++
      detector.learnOne(record)
    }
    assert.isAbove(Math.min(...Object.values(seen)), 10)
  })

  it("takes a missing sensor for the fleet's mean", () => {
    const detector = compile(residualPipeline(model), model.map.sensors)
    for (const [missing, mean] of [
      [
        [Number.NaN, 7],
        [5, 7]
      ],
      [
        [11, Number.NaN],
        [11, 4]
      ]
    ] as const) {
      assert.strictEqual(detector.scoreOne(Float64Array.from(missing)), detector.scoreOne(Float64Array.from(mean)))
    }
  })

  it("has a table whose scores run from 0.05 to 0.95", () => {
    const detector = compile(residualPipeline(model), model.map.sensors)
    const smallest = model.threshold * 24 ** (-63 / 64)
    assert.closeTo(
      detector.scoreOne(Float64Array.of(5, 4)),
      smallest / 2 / (smallest / 2 + (3 / 7) * model.threshold),
      1e-6
    )
    assert.closeTo(detector.scoreOne(Float64Array.of(60, 40)), 0.95, 0.001)
  })

  it("is of River's steps under the names that its documentation has, with a scaler in front that never moves", () => {
    const { detector, steps } = residualPipeline(model)
    assert.deepStrictEqual(
      steps.map(({ kind, name }) => `${name} ${kind}`),
      [
        "Guard ThresholdFilter",
        "StandardScaler StandardScaler",
        "Select SparseRandomProjector",
        "Products PolynomialExtender",
        "Residuals SparseRandomProjector",
        "Home StandardScaler",
        "Steady ThresholdFilter",
        "Window TransformerUnion",
        "Mix SparseRandomProjector",
        "Square PolynomialExtender",
        "Sum SparseRandomProjector"
      ]
    )
    const [, scaler] = steps
    assert.isTrue(scaler?.kind === "StandardScaler" && scaler.features.every(({ count }) => count === frozenCount))
    assert.strictEqual(detector.trees.length, 1)
    assert.strictEqual(detector.windowSize, 1_000_000_000)
  })
})
