/**
 * Writes values as a pickle of protocol 4 (Python 3.4 and later). The same values always give the same bytes.
 *
 * A string, and an object that is referred to more than once, is written once and fetched from the memo afterwards;
 * what is fetched most has the shortest numbers. Two references to one object stay one object in Python, with one
 * exception that trees of many equal leaves profit from: a dict that is some object's state is only copied from.
 */
import {
  opcode,
  PickleDict,
  PickleGlobal,
  PickleInstance,
  PickleList,
  PickleTuple,
  type PickleValue
} from "./Pickle.js"

type Shared = string | PickleTuple | PickleList | PickleDict | PickleGlobal | PickleInstance

/** The memo's number of everything that occurs more than once, the most frequent first. */
const memoNumbers = (root: PickleValue): ReadonlyMap<Shared, number> => {
  const counts = new Map<Shared, number>()
  const visit = (value: PickleValue): void => {
    if (value === null || (typeof value !== "object" && typeof value !== "string")) return
    const count = counts.get(value) ?? 0
    counts.set(value, count + 1)
    if (count > 0 || typeof value === "string") return
    if (value instanceof PickleGlobal) {
      visit(value.module)
      visit(value.name)
    } else if (value instanceof PickleDict) value.entries.forEach(visitBoth)
    else if (value instanceof PickleInstance) {
      visit(value.callable)
      visit(value.args)
      value.appended.forEach(visit)
      value.entries.forEach(visitBoth)
      value.states.forEach(visit)
    } else value.items.forEach(visit)
  }
  const visitBoth = ([key, value]: readonly [PickleValue, PickleValue]): void => {
    visit(key)
    visit(value)
  }
  visit(root)
  const repeated = [...counts].filter(([, count]) => count > 1).sort(([, a], [, b]) => b - a)
  return new Map(repeated.map(([value], i) => [value, i]))
}

export const writePickle = (root: PickleValue): Buffer => {
  const writer = new PickleWriter(memoNumbers(root))
  return writer.write(root)
}

class PickleWriter {
  #bytes = Buffer.allocUnsafeSlow(64 * 1024)
  #length = 0
  readonly #numbers: ReadonlyMap<Shared, number>
  readonly #written = new Set<number>()

  constructor(numbers: ReadonlyMap<Shared, number>) {
    this.#numbers = numbers
  }

  write(root: PickleValue): Buffer {
    this.#op(opcode.PROTO)
    this.#byte(4)
    this.#value(root)
    this.#op(opcode.STOP)
    return this.#bytes.subarray(0, this.#length)
  }

  #value(value: PickleValue): void {
    if (value === null) this.#op(opcode.NONE)
    else if (typeof value === "boolean") this.#op(value ? opcode.NEWTRUE : opcode.NEWFALSE)
    else if (typeof value === "bigint") this.#int(value)
    else if (typeof value === "number") this.#float(value)
    else {
      const number = this.#numbers.get(value)
      if (number !== undefined && this.#written.has(number)) {
        this.#numbered(opcode.BINGET, opcode.LONG_BINGET, number)
      } else this.#first(value)
    }
  }

  /** A container is put into the memo before it is filled, because it may be part of itself. */
  #first(value: Shared): void {
    if (typeof value === "string") {
      this.#string(value)
      this.#put(value)
    } else if (value instanceof PickleTuple) {
      this.#tuple(value.items)
      this.#put(value)
    } else if (value instanceof PickleGlobal) {
      this.#value(value.module)
      this.#value(value.name)
      this.#op(opcode.STACK_GLOBAL)
      this.#put(value)
    } else if (value instanceof PickleList) {
      this.#op(opcode.EMPTY_LIST)
      this.#put(value)
      this.#fill(value.items, [])
    } else if (value instanceof PickleDict) {
      this.#op(opcode.EMPTY_DICT)
      this.#put(value)
      this.#fill([], value.entries)
    } else {
      this.#value(value.callable)
      this.#value(value.args)
      this.#op(opcode[value.by])
      this.#put(value)
      this.#fill(value.appended, value.entries)
      for (const state of value.states) {
        this.#value(state)
        this.#op(opcode.BUILD)
      }
    }
  }

  #fill(items: ReadonlyArray<PickleValue>, entries: ReadonlyArray<readonly [PickleValue, PickleValue]>): void {
    if (items.length > 0) {
      this.#op(opcode.MARK)
      for (const item of items) this.#value(item)
      this.#op(opcode.APPENDS)
    }
    if (entries.length > 0) {
      this.#op(opcode.MARK)
      for (const [key, value] of entries) {
        this.#value(key)
        this.#value(value)
      }
      this.#op(opcode.SETITEMS)
    }
  }

  #tuple(items: ReadonlyArray<PickleValue>): void {
    if (items.length > 3) this.#op(opcode.MARK)
    for (const item of items) this.#value(item)
    const short = [opcode.EMPTY_TUPLE, opcode.TUPLE1, opcode.TUPLE2, opcode.TUPLE3] as const
    this.#op(short[items.length] ?? opcode.TUPLE)
  }

  #put(value: Shared): void {
    const number = this.#numbers.get(value)
    if (number === undefined) return
    this.#written.add(number)
    this.#numbered(opcode.BINPUT, opcode.LONG_BINPUT, number)
  }

  #numbered(short: number, long: number, number: number): void {
    this.#op(number < 256 ? short : long)
    if (number < 256) this.#byte(number)
    else this.#length = this.#room(4).writeUInt32LE(number, this.#length)
  }

  #string(text: string): void {
    const size = Buffer.byteLength(text)
    this.#op(size < 256 ? opcode.SHORT_BINUNICODE : opcode.BINUNICODE)
    if (size < 256) this.#byte(size)
    else this.#length = this.#room(4).writeUInt32LE(size, this.#length)
    this.#length += this.#room(size).write(text, this.#length)
  }

  #float(value: number): void {
    this.#op(opcode.BINFLOAT)
    this.#length = this.#room(8).writeDoubleBE(value, this.#length)
  }

  #int(value: bigint): void {
    if (value >= 0n && value < 0x100n) {
      this.#op(opcode.BININT1)
      this.#byte(Number(value))
    } else if (value >= 0n && value < 0x1_0000n) {
      this.#op(opcode.BININT2)
      this.#length = this.#room(2).writeUInt16LE(Number(value), this.#length)
    } else if (BigInt.asIntN(32, value) === value) {
      this.#op(opcode.BININT)
      this.#length = this.#room(4).writeInt32LE(Number(value), this.#length)
    } else {
      let size = 5
      while (BigInt.asIntN(8 * size, value) !== value) size++
      this.#op(opcode.LONG1)
      this.#byte(size)
      for (let i = 0; i < size; i++) this.#byte(Number(BigInt.asUintN(8, value >> BigInt(8 * i))))
    }
  }

  #op(code: number): void {
    this.#byte(code)
  }

  #byte(byte: number): void {
    this.#room(1)[this.#length++] = byte
  }

  #room(extra: number): Buffer {
    if (this.#length + extra > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#length + extra))
      this.#bytes.copy(larger)
      this.#bytes = larger
    }
    return this.#bytes
  }
}
