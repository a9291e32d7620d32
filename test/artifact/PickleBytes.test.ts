/** Pickles byte for byte: what CPython's `pickletools` reads, and what is refused with which word. */
import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import {
  PickleDict,
  PickleGlobal,
  PickleInstance,
  PickleList,
  PickleTuple,
  type PickleValue
} from "../../src/artifact/Pickle.js"
import { readPickle } from "../../src/artifact/PickleReader.js"
import { writePickle } from "../../src/artifact/PickleWriter.js"

const latin1 = (text: string) => Buffer.from(text, "latin1")
const allowed = new Set(["a.B", "a.c"])
const read = (bytes: Buffer) => Either.getOrThrow(readPickle(bytes, allowed))
const instance = (by: "NEWOBJ" | "REDUCE") => {
  const made = new PickleInstance(new PickleGlobal("a", "B"), new PickleTuple([]), by)
  made.appended.push(1n, 2n)
  made.entries.push(["k", null])
  made.states.push(new PickleDict([["s", 0.5]]), true)
  return made
}
const list = (...items: ReadonlyArray<PickleValue>) => new PickleList([...items])
const tuple = (...items: ReadonlyArray<PickleValue>) => new PickleTuple(items)

describe("writePickle", () => {
  const shared = list()
  const cases: ReadonlyArray<readonly [what: string, value: PickleValue, body: string]> = [
    ["None and booleans", tuple(null, true, false), "N\x88\x89\x87"],
    ["small integers", list(0n, 255n, 256n, 65_535n), "](K\0K\xffM\0\x01M\xff\xffe"],
    ["integers of 32 bits", tuple(65_536n, 2n ** 31n - 1n, -1n), "J\0\0\x01\0J\xff\xff\xff\x7fJ\xff\xff\xff\xff\x87"],
    ["the smallest of them", -(2n ** 31n), "J\0\0\0\x80"],
    ["longer integers", tuple(2n ** 31n, -(2n ** 31n) - 1n), "\x8a\x05\0\0\0\x80\0\x8a\x05\xff\xff\xff\x7f\xff\x86"],
    [
      "the shortest bytes that keep the sign",
      tuple(2n ** 39n, -(2n ** 39n)),
      "\x8a\x06\0\0\0\0\x80\0\x8a\x05\0\0\0\0\x80\x86"
    ],
    ["a float", 1.5, "G\x3f\xf8\0\0\0\0\0\0"],
    ["strings of UTF-8", tuple("a", "ä"), "\x8c\x01a\x8c\x02\xc3\xa4\x86"],
    ["a string of 255 bytes", "x".repeat(255), `\x8c\xff${"x".repeat(255)}`],
    ["a string of 256 bytes", "x".repeat(256), `X\0\x01\0\0${"x".repeat(256)}`],
    ["tuples by their length", list(tuple(), tuple(null), tuple(null, null, null, null)), "]()N\x85(NNNNte"],
    ["a dict", new PickleDict([["k", 1n]]), "}(\x8c\x01kK\x01u"],
    ["an empty list and dict", tuple(list(), new PickleDict()), "]}\x86"],
    [
      "an object",
      instance("NEWOBJ"),
      "\x8c\x01a\x8c\x01B\x93)\x81(K\x01K\x02e(\x8c\x01kNu}(\x8c\x01sG\x3f\xe0\0\0\0\0\0\0ub\x88b"
    ],
    [
      "what a call returned",
      new PickleInstance(new PickleGlobal("a", "B"), tuple(1n), "REDUCE"),
      "\x8c\x01a\x8c\x01B\x93K\x01\x85R"
    ],
    [
      "what occurs twice, the most frequent first",
      list("a", "b", "b", "a", "b"),
      "](\x8c\x01aq\x01\x8c\x01bq\0h\0h\x01h\0e"
    ],
    [
      "two classes of one module",
      list(new PickleGlobal("a", "B"), new PickleGlobal("a", "c")),
      "](\x8c\x01aq\0\x8c\x01B\x93h\0\x8c\x01c\x93e"
    ],
    ["one list twice", tuple(shared, shared), "]q\0h\0\x86"]
  ]
  it.each(cases)("%s", (_, value, body) => {
    const bytes = writePickle(value)
    assert.strictEqual(bytes.toString("latin1"), `\x80\x04${body}.`)
    assert.deepStrictEqual(read(bytes), value)
  })

  it("numbers the memo in a byte up to 255, in four beyond, and outgrows its first buffer", () => {
    const texts = Array.from({ length: 300 }, (_, i) => `${i}`.padStart(400, "."))
    const value = list(...texts, ...texts)
    const bytes = writePickle(value)
    assert.include(bytes.toString("latin1"), "h\xfeh\xffj\0\x01\0\0j\x01\x01\0\0")
    assert.include(bytes.toString("latin1"), `${texts[256]}r\0\x01\0\0`)
    assert.include(bytes.toString("latin1"), `${texts[255]}q\xff`)
    assert.deepStrictEqual(read(bytes), value)
    // At once larger than twice the buffer.
    const long = "x".repeat(300_000)
    assert.strictEqual(read(writePickle(long)), long)
  })
})

describe("readPickle", () => {
  it("reads what other writers write: single items, explicit and implicit memos, frames", () => {
    assert.deepStrictEqual(read(latin1("\x80\x05]K\x01aK\x02a.")), list(1n, 2n))
    assert.deepStrictEqual(read(latin1("}K\x01Ns.")), new PickleDict([[1n, null]]))
    assert.deepStrictEqual(read(latin1("\x95\x06\0\0\0\0\0\0\0]\x94h\0\x86.")), tuple(list(), list()))
    assert.deepStrictEqual(read(latin1("Nq\x050N0h\x05.")), null)
    assert.deepStrictEqual(read(latin1("]r\0\x01\0\0Nj\0\x01\0\0\x87.")), tuple(list(), null, list()))
    assert.deepStrictEqual(read(latin1("\x8a\0.")), 0n)
    assert.deepStrictEqual(read(latin1("(K\x01\x94K\x02\x94h\x01h\0t.")), tuple(1n, 2n, 2n, 1n))
  })

  const global = "\x8c\x01a\x8c\x01B\x93"
  it.each([
    ["nothing", "", 0, "it is cut short"],
    ["an operand that is cut short", "J\0\0\0", 0, "it is cut short (BININT)"],
    ["a frame that is cut short", "\x95\x03\0\0\0\0\0\0\0N.", 0, "it is cut short (FRAME)"],
    ["a newer protocol", "\x80\x06N.", 0, "protocol 6 is unknown (PROTO)"],
    ["an unknown opcode", "N\x05.", 1, "opcode 0x05 is not allowed"],
    ["two values", "NN.", 2, "values are left over at its end (STOP)"],
    ["an open mark", "(N.", 2, "values are left over at its end (STOP)"],
    ["no value", ".", 0, "the stack is empty (STOP)"],
    ["a memo of nothing", "\x94.", 0, "the stack is empty (MEMOIZE)"],
    ["a tuple of what lies below a mark", "N(N\x86.", 3, "the stack is empty (TUPLE2)"],
    ["a tuple without its mark", "Nt.", 1, "a mark is missing (TUPLE)"],
    ["a state of a list", "]Nb.", 2, "a state is given to what has none (BUILD)"],
    ["a global's name that is no string", "\x8c\x01aN\x93.", 4, "a global's name is no string (STACK_GLOBAL)"],
    ["a global's module that is no string", "N\x8c\x01B\x93.", 4, "a global's name is no string (STACK_GLOBAL)"],
    ["a call of no global", "N)\x81.", 2, "what is called is no global (NEWOBJ)"],
    ["arguments that are no tuple", `${global}NR.`, 8, "arguments are no tuple (REDUCE)"],
    ["items of no list", "NNa.", 2, "items are appended to what is no list (APPEND)"],
    ["entries of no dict", "]NNs.", 3, "items are set in what is no dict (SETITEM)"],
    ["a key without a value", "}(Nu.", 3, "a key has no value (SETITEMS)"],
    ["a short string that is not UTF-8", "\x8c\x01\xff.", 0, "a string is not UTF-8 (SHORT_BINUNICODE)"],
    ["a string that is not UTF-8", "X\x01\0\0\0\xff.", 0, "a string is not UTF-8 (BINUNICODE)"]
  ])("refuses %s", (_, text, offset, reason) => {
    const error = Either.getOrThrow(Either.flip(readPickle(latin1(text), allowed)))
    assert.strictEqual(error.message, `not a readable pickle: ${reason} at byte ${offset}`)
  })
})
