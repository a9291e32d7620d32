/**
 * Python objects as a pickle describes them, without Python: how each was made and what was put into it, nothing run.
 *
 * A Python int is a `bigint` here and a Python float a `number`, so that the two stay apart. Source of the format:
 * CPython `Lib/pickletools.py`.
 */
import { Data } from "effect"

export type PickleValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | PickleInstance

type Entry = readonly [key: PickleValue, value: PickleValue]

export class PickleTuple {
  constructor(readonly items: ReadonlyArray<PickleValue>) {}
}

export class PickleList {
  constructor(readonly items: Array<PickleValue> = []) {}
}

export class PickleDict {
  constructor(readonly entries: Array<Entry> = []) {}
}

/** A class or function by its name. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string
  ) {}
}

/** What a class or function returned: `cls.__new__(cls, *args)` for NEWOBJ, `callable(*args)` for REDUCE. */
export class PickleInstance {
  /** Appended to it, as to a deque. */
  readonly appended: Array<PickleValue> = []
  /** Set in it, as in a defaultdict. */
  readonly entries: Array<Entry> = []
  /** Given to its `__setstate__`; a dict becomes its attributes, and a later one adds to an earlier one. */
  readonly states: Array<PickleValue> = []
  constructor(
    readonly callable: PickleGlobal,
    readonly args: PickleTuple,
    readonly by: "NEWOBJ" | "REDUCE"
  ) {}
}

/** Opcodes of protocol 4 that the writer needs and Python's own dumps of the same objects use. */
export const opcode = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  REDUCE: 0x52,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  NEWOBJ: 0x81,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  SHORT_BINUNICODE: 0x8c,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95
} as const

/** The bytes are no pickle of the kind that is read here; `offset` is where the opcode at fault lies. */
export class PickleError extends Data.TaggedError("PickleError")<{
  readonly offset: number
  readonly reason: string
}> {
  override get message(): string {
    return `not a readable pickle: ${this.reason} at byte ${this.offset}`
  }
}
