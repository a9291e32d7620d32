/**
 * Reads a pickle without running anything: a short list of opcodes, and only the globals that the caller allows, which
 * are noted and never called. Bytes of any kind end in a value or in a `PickleError`, in time proportional to their
 * number: an opcode does a constant amount of work for each byte it stands for, and a state is kept, not copied.
 */
import { isUtf8 } from "node:buffer"
import { Either } from "effect"
import {
  opcode,
  PickleDict,
  PickleError,
  PickleGlobal,
  PickleInstance,
  PickleList,
  PickleTuple,
  type PickleValue
} from "./Pickle.js"

const newestProtocol = 5
const opcodeNames = new Map<number, string>(Object.entries(opcode).map(([name, code]) => [code, name]))

/** `allowed` holds globals as "module.name". */
export const readPickle = (bytes: Buffer, allowed: ReadonlySet<string>): Either.Either<PickleValue, PickleError> =>
  Either.try({
    try: () => new PickleReader(bytes, allowed).read(),
    catch: (error) => {
      if (error instanceof PickleError) return error
      throw error
    }
  })

class PickleReader {
  readonly #bytes: Buffer
  readonly #allowed: ReadonlySet<string>
  readonly #stack: Array<PickleValue> = []
  /** The heights of the stack at each MARK. */
  readonly #marks: Array<number> = []
  readonly #memo = new Map<number, PickleValue>()
  #at = 0
  /** Where the opcode begins that is being read. */
  #opcodeAt = 0

  constructor(bytes: Buffer, allowed: ReadonlySet<string>) {
    this.#bytes = bytes
    this.#allowed = allowed
  }

  read(): PickleValue {
    for (;;) {
      this.#opcodeAt = this.#at
      const code = this.#take(1)[0]!
      if (code === opcode.STOP) break
      this.#run(code)
    }
    const value = this.#pop()
    if (this.#stack.length > 0 || this.#marks.length > 0) this.#refuse("values are left over at its end")
    if (this.#at !== this.#bytes.length) this.#refuse(`${this.#bytes.length - this.#at} bytes follow its end`)
    return value
  }

  #run(code: number): void {
    const simple = this.#simple(code)
    const value = simple === undefined ? this.#composed(code) : simple
    if (value === undefined) this.#change(code)
    else this.#stack.push(value)
  }

  #simple(code: number): PickleValue | undefined {
    switch (code) {
      case opcode.NEWTRUE:
        return true
      case opcode.NEWFALSE:
        return false
      case opcode.BININT1:
        return BigInt(this.#take(1)[0]!)
      case opcode.BININT2:
        return BigInt(this.#take(2).readUInt16LE())
      case opcode.BININT:
        return BigInt(this.#take(4).readInt32LE())
      case opcode.LONG1:
        return this.#long(this.#take(this.#take(1)[0]!))
      case opcode.BINFLOAT:
        return this.#take(8).readDoubleBE()
      case opcode.SHORT_BINUNICODE:
        return this.#text(this.#take(this.#take(1)[0]!))
      case opcode.BINUNICODE:
        return this.#text(this.#take(this.#take(4).readUInt32LE()))
      case opcode.EMPTY_TUPLE:
        return new PickleTuple([])
      case opcode.EMPTY_LIST:
        return new PickleList()
      case opcode.EMPTY_DICT:
        return new PickleDict()
    }
    return undefined
  }

  #composed(code: number): PickleValue | undefined {
    switch (code) {
      case opcode.NONE:
        return null
      case opcode.TUPLE1:
      case opcode.TUPLE2:
      case opcode.TUPLE3: {
        const items = Array.from({ length: code - opcode.TUPLE1 + 1 }, () => this.#pop())
        return new PickleTuple(items.reverse())
      }
      case opcode.TUPLE:
        return new PickleTuple(this.#popToMark())
      case opcode.BINGET:
        return this.#recall(this.#take(1)[0]!)
      case opcode.LONG_BINGET:
        return this.#recall(this.#take(4).readUInt32LE())
      case opcode.STACK_GLOBAL:
        return this.#global()
      case opcode.NEWOBJ:
        return this.#make("NEWOBJ")
      case opcode.REDUCE:
        return this.#make("REDUCE")
    }
    return undefined
  }

  /** What changes the stack's top, the memo or nothing. */
  #change(code: number): void {
    switch (code) {
      case opcode.PROTO: {
        const version = this.#take(1)[0]!
        if (version > newestProtocol) this.#refuse(`protocol ${version} is unknown`)
        break
      }
      case opcode.FRAME:
        if (this.#take(8).readBigUInt64LE() > BigInt(this.#bytes.length - this.#at)) this.#refuse("it is cut short")
        break
      case opcode.MARK:
        this.#marks.push(this.#stack.length)
        break
      case opcode.POP:
        this.#pop()
        break
      case opcode.APPEND:
        this.#append([this.#pop()])
        break
      case opcode.APPENDS:
        this.#append(this.#popToMark())
        break
      case opcode.SETITEM: {
        const value = this.#pop()
        this.#set([this.#pop(), value])
        break
      }
      case opcode.SETITEMS:
        this.#set(this.#popToMark())
        break
      case opcode.BINPUT:
        this.#memo.set(this.#take(1)[0]!, this.#top())
        break
      case opcode.LONG_BINPUT:
        this.#memo.set(this.#take(4).readUInt32LE(), this.#top())
        break
      case opcode.MEMOIZE:
        this.#memo.set(this.#memo.size, this.#top())
        break
      case opcode.BUILD:
        this.#build()
        break
      default:
        this.#refuse(`opcode 0x${code.toString(16).padStart(2, "0")} is not allowed`)
    }
  }

  #build(): void {
    const state = this.#pop()
    const target = this.#top()
    if (target instanceof PickleInstance) target.states.push(state)
    else this.#refuse("a state is given to what has none")
  }

  #global(): PickleGlobal {
    const name = this.#pop()
    const module = this.#pop()
    if (typeof module !== "string" || typeof name !== "string") return this.#refuse("a global's name is no string")
    if (!this.#allowed.has(`${module}.${name}`)) return this.#refuse(`${module}.${name} is not allowed`)
    return new PickleGlobal(module, name)
  }

  #make(by: PickleInstance["by"]): PickleInstance {
    const args = this.#pop()
    const callable = this.#pop()
    if (!(callable instanceof PickleGlobal)) return this.#refuse("what is called is no global")
    if (!(args instanceof PickleTuple)) return this.#refuse("arguments are no tuple")
    return new PickleInstance(callable, args, by)
  }

  #append(items: ReadonlyArray<PickleValue>): void {
    const target = this.#top()
    if (target instanceof PickleList) for (const item of items) target.items.push(item)
    else if (target instanceof PickleInstance) for (const item of items) target.appended.push(item)
    else this.#refuse("items are appended to what is no list")
  }

  #set(flat: ReadonlyArray<PickleValue>): void {
    const target = this.#top()
    if (!(target instanceof PickleDict || target instanceof PickleInstance)) {
      this.#refuse("items are set in what is no dict")
    }
    if (flat.length % 2 !== 0) this.#refuse("a key has no value")
    for (let i = 0; i < flat.length; i += 2) target.entries.push([flat[i]!, flat[i + 1]!])
  }

  #long(bytes: Buffer): bigint {
    if (bytes.length === 0) return 0n
    const hex = Buffer.from(bytes).reverse().toString("hex")
    return BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`))
  }

  #text(bytes: Buffer): string {
    return isUtf8(bytes) ? bytes.toString() : this.#refuse("a string is not UTF-8")
  }

  #recall(number: number): PickleValue {
    const value = this.#memo.get(number)
    return value === undefined ? this.#refuse(`memo ${number} is empty`) : value
  }

  /** The top of the stack, above the last mark. */
  #top(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.#refuse("the stack is empty")
    return this.#stack.at(-1)!
  }

  #pop(): PickleValue {
    const value = this.#top()
    this.#stack.pop()
    return value
  }

  #popToMark(): Array<PickleValue> {
    const mark = this.#marks.pop()
    return mark === undefined ? this.#refuse("a mark is missing") : this.#stack.splice(mark)
  }

  #take(size: number): Buffer {
    if (this.#at + size > this.#bytes.length) this.#refuse("it is cut short")
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  #refuse(reason: string): never {
    throw new PickleError({ offset: this.#opcodeAt, reason: `${reason}${this.#named()}` })
  }

  #named(): string {
    const name = opcodeNames.get(this.#bytes[this.#opcodeAt] ?? -1)
    return name === undefined ? "" : ` (${name})`
  }
}
