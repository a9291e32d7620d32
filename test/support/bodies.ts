/** Bodies as clients send them, as they might, and as they never should, for everything that reads them. */
import * as fc from "fast-check"
import { sensors } from "../../src/domain/Sensor.js"

export const bodiesNowMs = Date.parse("2026-11-24T12:00:00Z")

/** `weight` in so many. */
const often = <A>(weight: number, arbitrary: fc.Arbitrary<A>) => ({ weight, arbitrary })

/** How bodies are made: what stands for a value, and whether other things may be odd too. */
interface Habits {
  readonly tokens: fc.Arbitrary<string>
  readonly odd: 0 | 1
}

const digits = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789"), minLength, maxLength })
const decimal = fc
  .tuple(fc.boolean(), fc.integer({ min: 0, max: 20_000 }), digits(0, 3))
  .map(([minus, whole, fraction]) => `${minus ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`)
const longDecimal = fc
  .tuple(fc.constantFrom("", "-"), digits(1, 14), digits(1, 20))
  .map(([sign, whole, fraction]) => `${sign}${whole.replace(/^0+(?=.)/, "")}.${fraction}`)
const exponent = fc
  .tuple(decimal, fc.constantFrom("e", "E"), fc.constantFrom("", "+", "-"), digits(1, 3))
  .map((parts) => parts.join(""))
const double = fc.double({ noNaN: true, noDefaultInfinity: true })
const number = fc.oneof(
  often(8, decimal),
  often(2, longDecimal),
  often(1, exponent),
  often(1, double.map(String)),
  often(2, fc.float({ min: -100, max: 300, noNaN: true }).map(String)),
  often(
    1,
    fc.constantFrom(
      "0",
      "-0",
      "0.0",
      "-0.000",
      "5.50",
      "100",
      "1e5",
      "0.000001",
      "0.0000009",
      "123456789012345",
      "65535"
    )
  ),
  often(
    1,
    fc.constantFrom(
      "1234567890123456",
      "999999999999999.9",
      "9007199254740993",
      "1e-20",
      "1e13",
      "10000000000001",
      "1e999"
    )
  ),
  often(
    1,
    fc.constantFrom("0.1000000000000000055511151231257827", "4.35", "-1", "-1.0", "256", "2147483648", "999999999")
  )
)
const text = fc.oneof(
  fc.string({ maxLength: 6 }).map((value) => JSON.stringify(value)),
  fc.constantFrom('""', '"W\\u00e4rme"', '"Wärme 🔥"', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"}], {"')
)
const malformed = fc.constantFrom(
  ...["01", "1.", ".5", "+1", "-", "1e", "1e+", "0x1", "NaN", "-Infinity", "tru", "nulll", "'a'", '"\\x"', '"\\u12"'],
  ...['"\n"', '"open', "", "[1]", "{}", '{"a": 1}', "1 2", "--1", "00", "1e5.5", "1,"]
)
const anyToken = fc.oneof(
  often(30, number),
  often(3, text),
  often(3, fc.constantFrom("true", "false", "null")),
  often(1, malformed)
)
const orderlyToken = fc.oneof(often(40, number), often(4, text), often(3, fc.constantFrom("true", "false", "null")))

const known = [...sensors.keys()]
const oddNames = [
  ...["__proto__", "constructor", "1", "a b", "é", "\\u0061", "value", "timestamp", "heatpumps", "id", "", "_a"],
  ...["x".repeat(128), "x".repeat(129), "9lives", "4294967295", "toString"]
]
const name = (odd: number) =>
  fc.oneof(
    often(12, fc.constantFrom(...known)),
    often(2, fc.stringMatching(/^[a-zA-Z][a-zA-Z_]{1,8}$/)),
    often(odd, fc.constantFrom(...oddNames))
  )

/** A member of a record or of `values`: what stands around its value, and the tokens that it changes between. */
const slot = ({ odd, tokens }: Habits) => {
  const shaped = (wrap: fc.Arbitrary<readonly [string, string]>, tokens: fc.Arbitrary<string>) =>
    fc.record({ name: name(odd), wrap, tokens: fc.array(tokens, { minLength: 1, maxLength: 3 }) })
  const wraps = [
    ['{"value": ', ', "text": "AUTO"}'],
    ['{"text":"W\\u00e4","value":', ',"n":1}']
  ] as const
  const oddWraps = [
    ['{"value":', ',"value":1}'],
    ["[", "]"],
    ['{"v":', "}"],
    ['{"value":', ',"more":{}}']
  ] as const
  return fc.oneof(
    often(8, shaped(fc.constant(["", ""]), tokens)),
    often(2, shaped(fc.constantFrom(...wraps), odd === 0 ? number : tokens)),
    often(odd, shaped(fc.constantFrom(...oddWraps), tokens))
  )
}
const slots = (habits: Habits) =>
  fc.oneof(
    often(9, fc.uniqueArray(slot(habits), { minLength: 1, maxLength: 8, selector: ({ name }) => name })),
    often(habits.odd, fc.array(slot(habits), { maxLength: 8 }))
  )

const tag = (odd: number) =>
  fc.oneof(often(8, fc.constantFrom("hp-1", "hp-2", "idm")), often(odd, fc.constantFrom("", "a b", "\\u0061", "é")))
const heatpump = (habits: Habits) =>
  fc.record({
    id: tag(habits.odd),
    manufacturer: fc.option(tag(habits.odd)),
    model: fc.option(
      fc.oneof(often(5, fc.constantFrom("AERO SLM", "")), often(habits.odd, fc.constantFrom("a,b", "\\u0061")))
    ),
    isLast: fc.boolean(),
    slots: slots(habits)
  })

const seconds = bodiesNowMs / 1000
const timestampEnd = (odd: number) =>
  fc.oneof(
    often(12, fc.constantFrom("", ".417", ".4", ".41712345678", "000", ".0", "e0")),
    often(odd, fc.constantFrom("e-20", "e9", ".", '", "'))
  )
const spacing = fc.constantFrom(
  [", ", ": ", "", ""] as const,
  [", ", ": ", "", ""] as const,
  [",", ":", "", ""] as const,
  [",\n   ", ": ", "\n  ", "\n "] as const,
  ["\t,", " :\r\n", " ", "\t"] as const
)

const usualEnvelope = [
  ["installation_id", '"3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e3"'],
  ["heatpump_model", '"AERO SLM"'],
  ["version", '"1.0.1"'],
  ["data", ""],
  ["batch_index", "1"]
] as const
const otherEnvelope = [
  ["installation_id", '"3F2B8C1E-9a47-4d0e-8b65-27c1f0a9d4e3"'],
  ["data", ""],
  ["note", '"W\\u00e4\\"rme"'],
  ["count", "-1.5e3"],
  ["heatpump_model", "null"]
] as const
const oddEnvelope = [
  ...usualEnvelope,
  ...[["nan", "NaN"] as const, ["installation_id", '"other"'] as const, ["data", "[]"] as const],
  ...[["version", '"a b"'] as const, ["nested", '{"data": [1]}'] as const, ["1", "01"] as const],
  ...[["escaped\\u0061", "1"] as const, ["long", "1e400"] as const, ["x", "tru"] as const]
]
const envelope = (odd: number) =>
  fc.oneof(
    often(6, fc.constant(usualEnvelope)),
    often(2, fc.shuffledSubarray([...otherEnvelope], { minLength: otherEnvelope.length })),
    often(2 * odd, fc.shuffledSubarray(oddEnvelope, { minLength: 2, maxLength: 8 }))
  )

/** Bodies in every state of order, most of them of a shape that clients send. */
const bodyOf = (habits: Habits) =>
  fc
    .record({
      envelope: envelope(habits.odd),
      spacing,
      slots: slots(habits),
      heatpumps: fc.option(fc.array(heatpump(habits), { minLength: 1 - habits.odd, maxLength: 3 })),
      timestampEnd: timestampEnd(habits.odd),
      timestampAt: fc.nat(9),
      heatpumpsFirst: habits.odd === 0 ? fc.constant(false) : fc.boolean(),
      records: fc.array(fc.array(fc.nat(60), { maxLength: 10 }), { minLength: 1 - habits.odd, maxLength: 6 })
    })
    .map(({ envelope, heatpumps, heatpumpsFirst, records, slots, spacing, timestampAt, timestampEnd }) => {
      const [between, colon, open, close] = spacing
      const join = (brackets: string, parts: ReadonlyArray<string>) =>
        `${brackets[0]}${open}${parts.join(between)}${close}${brackets[1]}`
      const record = (choices: ReadonlyArray<number>, index: number) => {
        // Most choices are the first token: like sensors, most slots stand still. The rarest leaves its slot out.
        const members = (of: typeof slots) =>
          of.flatMap(({ name, tokens, wrap }, i) => {
            const choice = choices[i] ?? 0
            if (choice === 60) return []
            const token = tokens[choice > 40 ? choice % tokens.length : 0]!
            return [`"${name}"${colon}${wrap[0]}${token}${wrap[1]}`]
          })
        const pumps = (heatpumps ?? []).map(({ id, isLast, manufacturer, model, slots }) => {
          const values = `"values"${colon}${join("{}", members(slots))}`
          const tags = [
            `"id"${colon}"${id}"`,
            ...(manufacturer === null ? [] : [`"manufacturer"${colon}"${manufacturer}"`]),
            ...(model === null ? [] : [`"model"${colon}"${model}"`])
          ]
          return join("{}", isLast ? [values, ...tags] : [...tags, values])
        })
        const own = members(slots)
        own.splice(timestampAt, 0, `"timestamp"${colon}${seconds - 6_000 + index * 60}${timestampEnd}`)
        const array = heatpumps === null ? [] : [`"heatpumps"${colon}${join("[]", pumps)}`]
        return join("{}", heatpumpsFirst ? [...array, ...own] : [...own, ...array])
      }
      const data = join("[]", records.map(record))
      return Buffer.from(
        join(
          "{}",
          envelope.map(([key, value]) => `"${key}"${colon}${value === "" ? data : value}`)
        )
      )
    })

export const orderlyBody = bodyOf({ tokens: orderlyToken, odd: 0 })
export const anyBody = bodyOf({ tokens: anyToken, odd: 1 })

export interface Change {
  readonly at: number
  /** `digit` replaces the next digit, which often leaves a body that can be read. */
  readonly kind: "digit" | "flip" | "set" | "insert" | "delete" | "repeat" | "cut"
  readonly byte: number
}

const digitBytes = [...Buffer.from("0123456789")]
const bytesThatMatter = [...Buffer.from('{}[],:" \n\\0123456789-+.eEtfnaNI_x'), 0x00, 0x1f, 0x7f, 0x80, 0xc3, 0xff]
const share = fc.noBias(fc.nat(999_999)).map((n) => n / 1e6)
const change: fc.Arbitrary<Change> = fc.oneof(
  often(3, fc.record({ at: share, kind: fc.constant("digit" as const), byte: fc.constantFrom(...digitBytes) })),
  often(
    1,
    fc.record({
      at: share,
      kind: fc.constantFrom<Array<Change["kind"]>>(
        "flip",
        "set",
        "set",
        "digit",
        "insert",
        "insert",
        "delete",
        "delete",
        "repeat",
        "cut"
      ),
      byte: fc.oneof(fc.constantFrom(...bytesThatMatter), fc.noBias(fc.nat(255)))
    })
  )
)

export const changes = fc.array(change, { minLength: 1, maxLength: 3 })

const isDigit = (byte: number) => digitBytes.includes(byte)

export const changed = (body: Buffer, changes: ReadonlyArray<Change>): Buffer => {
  let bytes = Buffer.from(body)
  for (const { at: share, byte, kind } of changes) {
    const at = Math.floor(share * bytes.length)
    const before = bytes.subarray(0, at)
    const after = bytes.subarray(at)
    if (kind === "digit") bytes[at + Math.max(0, after.findIndex(isDigit))] = byte
    else if (kind === "flip") bytes[at] = (bytes[at] ?? 0) ^ (1 << (byte & 7))
    else if (kind === "set") bytes[at] = byte
    else if (kind === "insert") bytes = Buffer.concat([before, Buffer.of(byte), after])
    else if (kind === "delete") bytes = Buffer.concat([before, after.subarray(1 + (byte & 7))])
    else if (kind === "repeat") bytes = Buffer.concat([before, after.subarray(0, byte), after])
    else bytes = Buffer.from(before)
  }
  return bytes
}
