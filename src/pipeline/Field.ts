import { sensors, smallestMagnitude, unknownFieldLimit } from "../domain/Sensor.js"

/** One column of a reading: a name that is safe in line protocol, and what Decode checks its values against. */
export interface Field {
  readonly name: string
  /** `name=` in ASCII. */
  readonly key: Uint8Array
  /** The same in little-endian words of 8 bytes, the last one padded: ASCII, so none of these doubles is NaN. */
  readonly keyWords: Float64Array
  readonly min: number
  readonly max: number
  readonly absent: ReadonlyArray<number>
}

const wordsOf = (key: Buffer): Float64Array => {
  const words = Buffer.alloc(Math.ceil(key.length / 8) * 8)
  key.copy(words)
  return Float64Array.from({ length: words.length / 8 }, (_, i) => words.readDoubleLE(i * 8))
}

const makeField = (name: string, min: number, max: number, absent: ReadonlyArray<number>): Field => {
  const key = Buffer.from(`${name}=`, "latin1")
  return { name, key, keyWords: wordsOf(key), min, max, absent }
}

export const knownFields: ReadonlyMap<string, Field> = new Map(
  Array.from(sensors.values(), (s) => [s.name, makeField(s.name, s.min, s.max, s.absent)])
)

/** @param name matches `fieldNamePattern` */
export const unknownField = (name: string): Field => makeField(name, -unknownFieldLimit, unknownFieldLimit, [])

export const isWithinBounds = (field: Field, value: number): boolean => {
  if (!(value >= field.min && value <= field.max)) return field.absent.includes(value)
  return value > smallestMagnitude || value < -smallestMagnitude || value === 0
}
