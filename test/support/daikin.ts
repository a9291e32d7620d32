/** The recording of a real heat pump, under the names that loggers use: see `test/fixtures/daikin/NOTICE.md`. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { statusBit } from "../../src/domain/Mode.js"
import type { HomeRecords } from "../../src/training/HomeRecords.js"

/** Fields that were sent only when they changed hold their value for this long. */
const holdMs = 30 * 60_000
/** Litres per minute that carry 1 kW at 1 K. */
const litresPerKwK = 14.33

export const daikinHome = (): HomeRecords => {
  const text = gunzipSync(readFileSync(new URL("../fixtures/daikin/altherma.csv.gz", import.meta.url))).toString()
  const [head, ...lines] = text.trim().split("\n")
  const names = head!.split(",")
  const cells = lines.map((line) => line.split(","))
  const timestampsMs = Float64Array.from(cells, ([timestamp]) => Date.parse(timestamp!.replace(" ", "T")))
  const held = <A>(name: string, parse: (cell: string) => A, unknown: A): ReadonlyArray<A> => {
    const index = names.indexOf(name)
    let value = unknown
    let sinceMs = Number.NEGATIVE_INFINITY
    return cells.map((row, i) => {
      const cell = row[index]!
      if (cell !== "") {
        value = parse(cell)
        sinceMs = timestampsMs[i]!
      }
      return timestampsMs[i]! - sinceMs <= holdMs ? value : unknown
    })
  }
  const column = (name: string, factor = 1) =>
    Float64Array.from(held(name, (cell) => Number(cell) * factor, Number.NaN))
  const words = (name: string) => held(name, (cell) => cell, "")
  const [mode, valve, defrost] = [words("Operation Mode"), words("Three Way Valve"), words("Defrost Operation")]
  const flow = column("Flow Temp")
  const returned = column("Return Temp")
  const litres = column("Flow Rate")
  return {
    installationId: "0b0f6f0e-53a5-4a0c-9a52-8d7b3f6c1d24",
    timestampsMs,
    columns: new Map([
      [
        "status_heat_pump",
        Float64Array.from(mode, (text, i) =>
          text === ""
            ? Number.NaN
            : (text === "Heating" ? (valve[i] === "ON" ? statusBit.water : statusBit.heating) : 0) |
              (defrost[i] === "ON" ? statusBit.defrosting : 0)
        )
      ],
      ["temp_outside", column("Outdoor Temp")],
      ["temp_heat_pump_flow", flow],
      ["temp_heat_pump_return", returned],
      ["temp_water_heater_top", column("DHW Temp")],
      ["temp_flow_target_circuit_a", column("Flow Setpoint")],
      ["temp_room_circuit_a", column("Indoor Temp")],
      ["power_current", column("Power In", 0.001)],
      ["power_thermal", flow.map((hot, i) => ((hot - returned[i]!) * litres[i]!) / litresPerKwK)]
    ])
  }
}
