import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import * as fc from "fast-check"
import {
  PickleDict,
  PickleError,
  PickleGlobal,
  PickleInstance,
  PickleList,
  PickleTuple,
  type PickleValue
} from "../../src/artifact/Pickle.js"
import { readPickle } from "../../src/artifact/PickleReader.js"
import { UnreadableModel } from "../../src/artifact/PickleView.js"
import { writePickle } from "../../src/artifact/PickleWriter.js"
import { riverGlobals } from "../../src/artifact/RiverGlobals.js"
import { writeModel } from "../../src/artifact/RiverPickle.js"
import { neverAlarming } from "../../src/artifact/RiverPipeline.js"
import { readModel } from "../../src/artifact/RiverReader.js"
import { StandardScaler } from "../../src/training/StandardScaler.js"
import { residualPipeline } from "../support/pipelines.js"

const allowed = new Set(["a.B", "a.c"])

const { value: anyValue } = fc.letrec<{ value: PickleValue; inner: PickleValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom<PickleValue>(null, true, false),
    fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
    fc.constantFrom(0n, 255n, 256n, 65_535n, 65_536n, 2n ** 31n - 1n, 2n ** 31n, -(2n ** 31n), -1n, -129n),
    fc.double({ noNaN: true }),
    fc.string({ unit: "grapheme", maxLength: 300 }),
    tie("inner")
  ),
  inner: fc.oneof(
    fc.array(tie("value"), { maxLength: 5 }).map((items) => new PickleTuple(items)),
    fc.array(tie("value"), { maxLength: 5 }).map((items) => new PickleList(items)),
    fc.array(fc.tuple(fc.string(), tie("value")), { maxLength: 5 }).map((entries) => new PickleDict(entries)),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => {
      const made = new PickleInstance(new PickleGlobal("a", "B"), new PickleTuple(items), "NEWOBJ")
      made.appended.push(...items)
      made.entries.push(["key", items[0] ?? null])
      made.states.push(items[1] ?? 1.5)
      return made
    })
  )
}))

describe("Pickle", () => {
  it("what is written is read back", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        assert.deepStrictEqual(Either.getOrThrow(readPickle(writePickle(value), allowed)), value)
      }),
      { numRuns: 300 }
    )
  })

  it("one object that is referred to twice stays one, also as part of itself", () => {
    const list = new PickleList()
    list.items.push(list, new PickleTuple([list]))
    const again = Either.getOrThrow(readPickle(writePickle(list), allowed))
    assert.instanceOf(again, PickleList)
    if (again instanceof PickleList) assert.strictEqual(again.items[0], again)
  })

  it.each([
    ["a global that is not allowed", Buffer.from("\x80\x04\x8c\x02os\x8c\x06system\x93.", "latin1"), 14, "os.system"],
    ["an opcode that is not allowed", Buffer.from("\x80\x04cos\nsystem\n.", "latin1"), 2, "0x63"],
    ["the end is missing", Buffer.from("\x80\x04\x8c\x0aabc", "latin1"), 2, "cut short"],
    ["a memo that is empty", Buffer.from("\x80\x04h\x05.", "latin1"), 2, "memo 5"],
    ["more after the end", Buffer.from("\x80\x04N.N", "latin1"), 3, "1 bytes follow"]
  ])("%s is refused at its place", (_, bytes, offset, reason) => {
    const error = Either.getOrThrow(Either.flip(readPickle(bytes, allowed)))
    assert.strictEqual(error.offset, offset)
    assert.include(error.message, reason)
  })
})

const emptyScaler = new StandardScaler([]).toStep()
const modelBytes = writeModel({
  heating: residualPipeline(1),
  cooling: neverAlarming(emptyScaler),
  water: neverAlarming(emptyScaler),
  standby: neverAlarming(emptyScaler)
})

describe("readModel", () => {
  const refusesOrReads = (bytes: Buffer) => {
    const result = readModel(bytes)
    if (Either.isLeft(result)) {
      assert.isTrue(result.left instanceof PickleError || result.left instanceof UnreadableModel)
      assert.isAbove(result.left.message.length, 20)
    }
  }

  it("answers arbitrary bytes with a typed error", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => refusesOrReads(Buffer.from(bytes))))
  })

  it("answers a damaged model with a typed error, or with a model", () => {
    const place = fc.nat(modelBytes.length - 1)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 4 }),
        place,
        fc.boolean(),
        (damage, end, cut) => {
          const bytes = Buffer.from(modelBytes)
          for (const [at, byte] of damage) bytes[at] = byte
          refusesOrReads(cut ? bytes.subarray(0, end) : bytes)
        }
      ),
      { numRuns: 400 }
    )
  })

  const object = (cls: PickleGlobal, state: Readonly<Record<string, PickleValue>>) => {
    const made = new PickleInstance(cls, new PickleTuple([]), "NEWOBJ")
    made.states.push(new PickleDict(Object.entries(state)))
    return made
  }

  const reasonFor = (value: PickleValue) => Either.getOrThrow(Either.flip(readModel(writePickle(value)))).message

  it("says which part of a model is at fault", () => {
    assert.strictEqual(reasonFor(new PickleList()), "not a readable model: model is no dict")
    assert.strictEqual(reasonFor(new PickleDict()), "not a readable model: model.heating is missing")
    const bare = object(riverGlobals.Pipeline, { steps: new PickleDict([["StandardScaler", 1n]]) })
    assert.strictEqual(
      reasonFor(new PickleDict([["heating", bare]])),
      "not a readable model: model.heating.steps.StandardScaler is no HalfSpaceTrees"
    )
  })

  it("a tree that shares its branches is refused before it grows", () => {
    let node: PickleValue = object(riverGlobals.HSTLeaf, { l_mass: 0n, r_mass: 0n })
    for (let i = 0; i < 20; i++) {
      node = object(riverGlobals.HSTBranch, {
        children: new PickleTuple([node, node]),
        feature: "a",
        threshold: 0.5,
        l_mass: 0n,
        r_mass: 0n
      })
    }
    const trees = object(riverGlobals.HalfSpaceTrees, {
      height: 20n,
      trees: new PickleList([node]),
      limits: new PickleDict()
    })
    const pipeline = object(riverGlobals.Pipeline, { steps: new PickleDict([["HalfSpaceTrees", trees]]) })
    assert.include(reasonFor(new PickleDict([["heating", pipeline]])), "is shared with another object")
  })
})
