/**
 * Records straight from JSON bytes to field sets: what `Records` makes of them, or nothing.
 *
 * Consecutive records of a client differ in a few numbers only. So a record is compared with the one before it, up to the next
 * difference, and taken slot by slot (`Slots`): an equal gap means equal names and structure, an equal token means the part of
 * the field set that is already there, and is copied. Only tokens that changed are read (`SlotReader`); a record with another
 * gap is read from scratch (`LayoutReader`).
 *
 * Why equal bytes suffice: the record before was read, or equalled one that was. A token is compared with the byte behind it,
 * which ends it.
 *
 * Whatever is unusual (a rejected record, a value that is no number, a name that comes twice) ends the whole attempt, and the
 * caller takes the plain way, which is the only one to refuse anything but values out of bounds.
 *
 * Cost, lines included: 18 % of JSON.parse for a real logger's batch in the flat shape, two thirds where every second number
 * changed (docs/performance.md).
 */
import type { Reading } from "../domain/Submission.js"
import type { ByteBuffer } from "./ByteBuffer.js"
import { closeBracket, comma, JsonCursor, openBracket } from "./JsonCursor.js"
import { LayoutReader } from "./LayoutReader.js"
import { maxFieldsPerReading, maxHeatpumps } from "./Records.js"
import { SlotReader } from "./SlotReader.js"
import { type SlotGroup, Slots, slotKind } from "./Slots.js"
import { Verdicts } from "./Verdicts.js"

/** With more than this, and a new one for every second record, the plain way is quicker. */
const fewLayouts = 16

/** Shorter copies are quicker in words than by a call. */
const longCopyBytes = 128

/** Of a word that is not 0, the number of its lowest byte that is not 0. */
const lowestByte = (word: number): number => (31 - Math.clz32(word & -word)) >> 3

export class RecordTranscoder {
  readonly readings: Array<Reading> = []
  /** Keys of the sources, in the order of their first readings. */
  readonly sources: Array<string> = []
  readonly verdicts = new Verdicts()
  records = 0
  private readonly slots = new Slots()
  private readonly reader: SlotReader
  private readonly layouts: LayoutReader
  private readonly size: number
  private layoutsRead = 0
  /** Where the previous record begins and ends, and where its field sets begin. */
  private previousStart = -1
  private previousEnd = -1
  private previousSets = 0

  constructor(
    bytes: Buffer,
    private readonly fieldSets: ByteBuffer,
    nowMs: number,
    retentionMs: number
  ) {
    this.size = bytes.length
    this.reader = new SlotReader(bytes, this.slots, fieldSets, nowMs, retentionMs)
    this.layouts = new LayoutReader(bytes, this.slots, this.reader)
  }

  /** Field names outside the sensor registry that had a value. */
  get unknownNames(): Iterable<string> {
    return this.reader.unknown.keys()
  }

  /** Reads the array of records at `start`; gives the position behind it, or -1 when it is unusual. */
  readArray(start: number): number {
    const cursor = new JsonCursor(this.reader.bytes, start)
    if (!cursor.take(openBracket)) return -1
    do {
      cursor.skipSpace()
      cursor.at = this.readRecord(cursor.at)
      if (cursor.at < 0) return -1
    } while (cursor.take(comma))
    return cursor.take(closeBracket) ? cursor.at : -1
  }

  private readRecord(start: number): number {
    const { fieldSets, reader, verdicts } = this
    const setsStart = fieldSets.length
    reader.makeRoom(start)
    let end = this.previousStart < 0 ? -1 : this.readSameLayout(start)
    if (end < 0) {
      fieldSets.length = setsStart
      reader.drops.length = 0
      end = this.readNewLayout(start)
    }
    if (end < 0 || !this.addReadings()) return -1
    for (const name of reader.drops) verdicts.report(this.records, "value_out_of_range", name)
    reader.drops.length = 0
    reader.previousBytes = fieldSets.length - setsStart
    this.previousStart = start
    this.previousEnd = end
    this.previousSets = setsStart
    this.records++
    return end
  }

  private readNewLayout(start: number): number {
    this.layoutsRead++
    if (this.layoutsRead > fewLayouts && this.layoutsRead * 2 > this.records) return -1
    // No home may have so many, and the plain way is quick to refuse them.
    if (this.reader.unknown.size > maxFieldsPerReading) return -1
    return this.layouts.read(start)
  }

  private readSameLayout(start: number): number {
    const { fieldSets, reader, slots } = this
    const { dropped, gaps, groups, kinds, lengths, nameLengths, written } = slots
    let at = start
    let shift = this.previousStart - start
    let sameEnd = this.endOfSame(at, shift)
    // The fields from `unchanged` to `sets` of the previous field sets are still to be copied.
    let sets = this.previousSets
    let unchanged = sets
    let slot = 0
    for (let g = 0; g < groups.length; g++) {
      const group = groups[g]!
      const groupEnd = group.end
      let samples = 0
      group.start = fieldSets.length + sets - unchanged
      for (; slot < groupEnd; slot++) {
        at += gaps[slot]!
        if (at > sameEnd) return -1
        const length = lengths[slot]!
        const before = written[slot]!
        // The byte behind it too: the token ends here.
        if (at + length < sameEnd) {
          if (before > 0) samples++
          else if (dropped[slot] === 1) reader.drops.push(slots.names[slot]!)
          at += length
        } else {
          if (kinds[slot] === slotKind.constant) return -1
          // Of a field that changes, the name stays.
          const named = before > 0 ? nameLengths[slot]! : 0
          if (sets + named > unchanged) this.copySets(unchanged, sets + named)
          const end = reader.read(slot, at, named)
          if (end < 0) return -1
          if (written[slot]! > 0) samples++
          unchanged = sets + before
          shift += at + length - end
          at = end
          sameEnd = this.endOfSame(at, shift)
        }
        sets += before
      }
      group.samples = samples
      group.stop = fieldSets.length + sets - unchanged - 1
    }
    at += slots.tail
    if (at > sameEnd) return -1
    if (sets > unchanged) this.copySets(unchanged, sets)
    return at
  }

  /**
   * The first position from `at` on whose byte is not that of the previous record, `shift` away; at most where that ends.
   *
   * Eight bytes at a time, as doubles: those of the previous record, of which none is 0, equal others only if their bytes do
   * (-0 is out). A NaN never does, and then the words decide.
   */
  private endOfSame(start: number, shift: number): number {
    const { view } = this.reader
    const stop = Math.min(this.previousEnd - shift, this.size)
    let at = start
    while (
      at + 16 <= stop &&
      view.getFloat64(at, true) === view.getFloat64(at + shift, true) &&
      view.getFloat64(at + 8, true) === view.getFloat64(at + shift + 8, true)
    )
      at += 16
    for (; at + 8 <= stop; at += 8) {
      if (view.getFloat64(at, true) === view.getFloat64(at + shift, true)) continue
      const low = view.getInt32(at, true) ^ view.getInt32(at + shift, true)
      if (low !== 0) return at + lowestByte(low)
      const high = view.getInt32(at + 4, true) ^ view.getInt32(at + shift + 4, true)
      if (high !== 0) return at + 4 + lowestByte(high)
    }
    while (at < stop && view.getUint8(at) === view.getUint8(at + shift)) at++
    return at
  }

  /** Appends what stands from `start` to before `end`: ASCII (so no word of it is NaN), at least as far away as it is long. */
  private copySets(start: number, end: number): void {
    const { bytes, length, view } = this.fieldSets
    const count = end - start
    if (count > longCopyBytes) bytes.copyWithin(length, start, end)
    else for (let i = 0; i < count; i += 8) view.setFloat64(length + i, view.getFloat64(start + i, true), true)
    this.fieldSets.length = length + count
  }

  /** The readings of the record just read; false when the plain way would refuse some of it. */
  private addReadings(): boolean {
    const { readings, reader, slots } = this
    const count = readings.length
    for (const group of slots.groups) {
      const { samples, start, stop: end } = group
      if (samples === 0 && group.key === "" && !slots.homeHasDropped()) continue
      if (samples === 0 || samples > maxFieldsPerReading || !this.findSource(group)) return false
      readings.push({ source: group.source, timestampMs: reader.timestampMs, samples, start, end })
    }
    return readings.length > count
  }

  private findSource(group: SlotGroup): boolean {
    if (group.source >= 0) return true
    group.source = this.sources.indexOf(group.key)
    if (group.source >= 0) return true
    if (group.key !== "" && this.sources.length >= maxHeatpumps) return false
    group.source = this.sources.push(group.key) - 1
    return true
  }
}
