import { type Sensor, sensorTable } from "./SensorTable.js"

/**
 * Field names that may become part of a series name: letters, digits and `_`, not starting with the `__` that
 * Prometheus reserves. None of these characters needs escaping in line protocol.
 */
export const fieldNamePattern = /^(?!__)[A-Za-z0-9_]{1,128}$/

/**
 * Bounds of a field that the registry does not know: up to 13 digits before the point leave VictoriaMetrics two after
 * it.
 */
export const unknownFieldLimit = 1e13

/** A non-zero magnitude below this is a byte-order fault, never a measurement. */
export const smallestMagnitude = 1e-20

const expand = (name: string): ReadonlyArray<string> => {
  const range = /\{(\w+)\.\.(\w+)\}/.exec(name)
  if (range === null) return [name]
  const [template, from, to] = range
  const isNumber = /\d/.test(from!)
  const first = isNumber ? Number(from) : from!.charCodeAt(0)
  const last = isNumber ? Number(to) : to!.charCodeAt(0)
  return Array.from({ length: last - first + 1 }, (_, i) =>
    name.replace(template, isNumber ? String(first + i) : String.fromCharCode(first + i))
  ).flatMap(expand)
}

/** Every known sensor by its full name. */
export const sensors: ReadonlyMap<string, Sensor> = new Map(
  sensorTable.flatMap((row) => expand(row.name).map((name) => [name, { ...row, name }]))
)
