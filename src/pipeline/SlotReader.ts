/**
 * The tokens of records, one at a time: checked as the plain way checks them, and written as it writes them.
 *
 * Two facts make most numbers cheap; the rest go through Number and String, which are exact by definition.
 *
 * - A decimal of up to 15 digits, m / 10^k with k ≤ 22, is read exactly by one division: m and 10^k are doubles, and IEEE
 *   division rounds correctly (W. D. Clinger, How to Read Floating Point Numbers Accurately, 1990).
 * - No two decimals of up to 15 digits are the same double (DBL_DIG of IEEE 754 double), so without the zeros at the end of its
 *   fraction it already is the shortest text that reads back, which String would give: from 1e-6 on without an exponent.
 *
 * Invariant: a field set takes no more bytes than the tokens and names that it comes from, except for numbers with an
 * exponent or many digits; `makeRoom` before a record and before each of those therefore is enough.
 */
import { type ByteBuffer, viewOf } from "./ByteBuffer.js"
import { type Field, isWithinBounds, knownFields, unknownField } from "./Field.js"
import { comma, endOfString, endOfWord, isDigit, minus, nine, point, quote, zero } from "./JsonCursor.js"
import { timestampVerdict } from "./Records.js"
import { type Slots, slotKind } from "./Slots.js"

const maxExactDigits = 15
/** So many digits, or with a point one less, always fit into 32 bits. */
const maxShortDigits = 9
const powersOfTen = Float64Array.from({ length: maxExactDigits + 1 }, (_, exponent) => Number(`1e${exponent}`))

const letterE = 0x65
const plus = 0x2b
const trueWord = Buffer.from("true")
const falseWord = Buffer.from("false")
const nullWord = Buffer.from("null")

/** One long number with its name, and what copies in whole words write too much. */
const spareBytes = 256

export class SlotReader {
  /** Of the record being read. */
  timestampMs = 0
  /** The names of its fields that were out of bounds. */
  readonly drops: Array<string> = []
  /** Field names outside the sensor registry that had a value. */
  readonly unknown = new Map<string, Field>()
  /** Length of the previous record's field sets. */
  previousBytes = 0
  /** On `bytes`. */
  readonly view: DataView

  constructor(
    readonly bytes: Buffer,
    readonly slots: Slots,
    readonly fieldSets: ByteBuffer,
    private readonly nowMs: number,
    private readonly retentionMs: number
  ) {
    this.view = viewOf(bytes)
  }

  /** Room for one more copy of the previous record's field sets, and for all that the body from `at` on becomes. */
  makeRoom(at: number): void {
    this.fieldSets.reserve(this.previousBytes + this.bytes.length - at + spareBytes)
  }

  /**
   * Reads a slot's token, which begins at `start`, and gives the position behind it; -1 when the slot cannot hold it.
   *
   * @param named the bytes of its name when that is already written, otherwise 0
   */
  read(slot: number, start: number, named: number): number {
    const { bytes, slots } = this
    const byte = bytes[start]!
    if (byte === minus || (byte >= zero && byte <= nine)) return this.readNumber(slot, start, named)
    const kind = slots.kinds[slot]!
    if (kind === slotKind.timestamp) return -1
    this.setNothing(slot, named)
    let end: number
    if (byte === quote) end = kind === slotKind.wrapped ? -1 : endOfString(bytes, start)
    else if (byte === nullWord[0]) end = endOfWord(bytes, start, nullWord)
    else {
      const isTrue = byte === trueWord[0]
      end = endOfWord(bytes, start, isTrue ? trueWord : falseWord)
      if (end >= 0 && kind < slotKind.ignored) this.writeText(slot, isTrue ? 1 : 0, 0)
    }
    slots.lengths[slot] = end - start
    return end
  }

  private readNumber(slot: number, start: number, named: number): number {
    const { bytes } = this
    let at = start
    let byte = bytes[at]!
    const isNegative = byte === minus
    if (isNegative) byte = bytes[++at]!
    const first = at
    let mantissa = 0
    if (byte === zero) byte = bytes[++at]!
    else {
      if (!(byte > zero && byte <= nine)) return -1
      do {
        mantissa = (Math.imul(mantissa, 10) + byte - zero) | 0
        byte = bytes[++at]!
      } while (byte >= zero && byte <= nine)
    }
    let end = at
    let decimals = 0
    if (byte === point) {
      const fraction = ++at
      byte = bytes[at]!
      if (!(byte >= zero && byte <= nine)) return -1
      do {
        mantissa = (Math.imul(mantissa, 10) + byte - zero) | 0
        at++
        if (byte !== zero) end = at
        byte = bytes[at]!
      } while (byte >= zero && byte <= nine)
      decimals = at - fraction
    }
    const isLong = at - first > (decimals > 0 ? maxExactDigits + 1 : maxExactDigits)
    if (isLong || (byte | 0x20) === letterE) return this.readLongNumber(slot, start, at, named)
    if (at - first > maxShortDigits) mantissa = this.mantissaOf(first, at)
    const magnitude = mantissa / powersOfTen[decimals]!
    if (magnitude < 1e-6 && mantissa !== 0) return this.readLongNumber(slot, start, at, named)
    const value = isNegative ? -magnitude : magnitude
    this.slots.lengths[slot] = at - start
    if (this.slots.kinds[slot]! >= slotKind.ignored) return this.isRead(slot, value) ? at : -1
    if (this.isAccepted(slot, value, named)) this.writeToken(slot, start, mantissa === 0 ? start : end, named)
    return at
  }

  /** The digits from `first` to before `end` as one integer of up to 15 digits. */
  private mantissaOf(first: number, end: number): number {
    let mantissa = 0
    for (let at = first; at < end; at++) {
      const byte = this.bytes[at]!
      if (byte !== point) mantissa = mantissa * 10 + (byte - zero)
    }
    return mantissa
  }

  private readLongNumber(slot: number, start: number, mantissaEnd: number, named: number): number {
    const { bytes, slots } = this
    let at = mantissaEnd
    if ((bytes[at]! | 0x20) === letterE) {
      const sign = bytes[++at]
      if (sign === minus || sign === plus) at++
      if (!isDigit(bytes[at])) return -1
      while (isDigit(bytes[at])) at++
    }
    const value = Number(bytes.toString("latin1", start, at))
    slots.lengths[slot] = at - start
    if (slots.kinds[slot]! >= slotKind.ignored) return this.isRead(slot, value) ? at : -1
    this.makeRoom(at)
    this.writeText(slot, value, named)
    return at
  }

  /** A number that becomes no sample; false when it is a timestamp that refuses the record. */
  private isRead(slot: number, value: number): boolean {
    this.setNothing(slot, 0)
    if (this.slots.kinds[slot] !== slotKind.timestamp) return true
    const timestampMs = timestampVerdict(value, this.nowMs, this.retentionMs)
    if (typeof timestampMs !== "number") return false
    this.timestampMs = timestampMs
    return true
  }

  /** A value whose token is not its text. */
  private writeText(slot: number, value: number, named: number): void {
    if (!this.isAccepted(slot, value, named)) return
    const { fieldSets } = this
    const start = fieldSets.length - named
    let at = named === 0 ? this.writeName(slot) : fieldSets.length
    const text = String(value + 0)
    for (let i = 0; i < text.length; i++) fieldSets.bytes[at++] = text.charCodeAt(i)
    fieldSets.bytes[at++] = comma
    fieldSets.length = at
    this.slots.written[slot] = at - start
  }

  /** A value whose token up to `end` is its text; an empty one means 0. */
  private writeToken(slot: number, start: number, end: number, named: number): void {
    const { bytes, fieldSets, view } = this
    const to = fieldSets.bytes
    const from = fieldSets.length - named
    let at = named === 0 ? this.writeName(slot) : fieldSets.length
    if (end === start) to[at++] = zero
    else if (end - start <= 8 && start + 8 <= bytes.length) {
      fieldSets.view.setInt32(at, view.getInt32(start, true), true)
      fieldSets.view.setInt32(at + 4, view.getInt32(start + 4, true), true)
      at += end - start
    } else for (let i = start; i < end; i++) to[at++] = bytes[i]!
    to[at++] = comma
    this.slots.written[slot] = at - from
    fieldSets.length = at
  }

  /** Writes `name=` without counting it yet, and gives the position behind it. */
  private writeName(slot: number): number {
    const { length, view } = this.fieldSets
    const { key, keyWords } = this.slots.fields[slot]!
    for (let i = 0; i < keyWords.length; i++) view.setFloat64(length + 8 * i, keyWords[i]!, true)
    return length + key.length
  }

  /** The slot has no part in the field set, where its name may stand already. */
  private setNothing(slot: number, named: number): void {
    this.fieldSets.length -= named
    this.slots.written[slot] = 0
    this.slots.dropped[slot] = 0
  }

  private isAccepted(slot: number, value: number, named: number): boolean {
    const { slots } = this
    const field = slots.fields[slot] ?? this.fieldOf(slot)
    if (isWithinBounds(field, value)) {
      slots.dropped[slot] = 0
      return true
    }
    this.setNothing(slot, named)
    slots.dropped[slot] = 1
    this.drops.push(field.name)
    return false
  }

  private fieldOf(slot: number): Field {
    const name = this.slots.names[slot]!
    let field = knownFields.get(name) ?? this.unknown.get(name)
    if (field === undefined) {
      field = unknownField(name)
      this.unknown.set(name, field)
    }
    this.slots.fields[slot] = field
    this.slots.nameLengths[slot] = field.key.length
    return field
  }
}
