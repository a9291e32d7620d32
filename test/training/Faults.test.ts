import { assert, describe, it } from "@effect/vitest"
import { faultFields, faultKinds, inject, missingFields, severities } from "../../src/training/Faults.js"
import { smallFleet } from "../support/trainedFleet.js"

const [home] = smallFleet({ homes: 1, days: 2, seed: 5 })
const from = 600
const to = 960

const difference = (name: string, kind: (typeof faultKinds)[number], severity: (typeof severities)[number]) => {
  const after = inject(home!, kind, severity, from, to).columns.get(name)!
  const before = home!.columns.get(name)!.subarray(from, to)
  return after.map((value, i) => value - before[i]!).filter((value) => !Number.isNaN(value))
}
const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length

describe("Faults", () => {
  it("change the episode and leave the home as it was", () => {
    const original = new Map([...home!.columns].map(([name, values]) => [name, values.slice()]))
    for (const kind of faultKinds) {
      for (const severity of severities) {
        const faulty = inject(home!, kind, severity, from, to)
        assert.strictEqual(faulty.timestampsMs.length, to - from)
        const changed = [...faulty.columns].filter(([name, values]) =>
          values.some((value, i) => value !== original.get(name)![from + i] && !Number.isNaN(value))
        )
        assert.isNotEmpty(changed, kind)
        for (const [name] of changed) assert.include(faultFields, name, kind)
      }
    }
    for (const [name, values] of home!.columns) assert.deepStrictEqual(values, original.get(name), name)
  })

  it("have the size that they are said to have", () => {
    for (const severity of severities) {
      assert.closeTo(mean(difference("temp_heat_pump_return", "return offset", severity)), 3 * severity, 1e-9)
      assert.closeTo(mean(difference("power_current", "backup heater stuck on", severity)), 3 * severity, 1e-9)
      const drift = difference("temp_outside", "outdoor drift", severity)
      assert.closeTo(drift.at(-1)!, 12 * severity, 1e-9)
      assert.closeTo(drift[0]!, 0, 1e-9)
    }
    const stuck = inject(home!, "stuck flow sensor", 1, from, to).columns.get("temp_heat_pump_flow")!
    assert.strictEqual(new Set(stuck.filter((value) => !Number.isNaN(value))).size, 1)
  })

  it("keep the laws that the sources give them: undercharge loses heat and efficiency together", () => {
    const before = home!
    const after = inject(before, "refrigerant undercharge", 1, from, to)
    const column = (name: string, i: number) =>
      [before.columns.get(name)![from + i]!, after.columns.get(name)![i]!] as const
    let running = 0
    for (let i = 0; i < to - from; i++) {
      const [heat, lessHeat] = column("power_thermal", i)
      const [power, newPower] = column("power_current", i)
      if (!(power > 0.2) || !(heat > 0)) continue
      running++
      assert.closeTo(lessHeat / heat, 0.75, 1e-9)
      assert.closeTo(lessHeat / newPower / (heat / power), 0.8, 1e-9)
    }
    assert.isAbove(running, 30)
  })

  it("are not injected where their fields are absent", () => {
    const columns = new Map([...home!.columns].filter(([name]) => name !== "power_thermal"))
    assert.deepStrictEqual(missingFields("flow blockage", { ...home!, columns }), [])
    assert.deepStrictEqual(missingFields("refrigerant undercharge", { ...home!, columns }), ["power_thermal"])
    const silent = new Map(home!.columns).set(
      "temp_outside",
      new Float64Array(home!.timestampsMs.length).fill(Number.NaN)
    )
    assert.deepStrictEqual(missingFields("outdoor drift", { ...home!, columns: silent }), ["temp_outside"])
  })
})
