import { isModelName } from "../domain/ModelName.js"
import { closeBrace, closeBracket, comma, JsonCursor, openBrace, openBracket, quote } from "./JsonCursor.js"
import { tagPattern } from "./Records.js"
import type { SlotReader } from "./SlotReader.js"
import { maxSlots, type Slots, slotKind } from "./Slots.js"

/**
 * Reads a record of any layout that real clients have, and so learns that layout: members whose values are scalars or
 * `{"value": …}`, a timestamp, then perhaps `heatpumps` with the same under `values`. Everything else is refused.
 */
export class LayoutReader {
  private readonly cursor: JsonCursor
  private gapStart = 0

  constructor(
    bytes: Buffer,
    private readonly slots: Slots,
    private readonly reader: SlotReader
  ) {
    this.cursor = new JsonCursor(bytes)
  }

  /** Reads the record at `start` into slots and field sets; gives the position behind it, or -1. */
  read(start: number): number {
    const { cursor, slots } = this
    slots.clear()
    cursor.at = start
    this.gapStart = start
    if (!this.readRecord()) return -1
    slots.groups.at(-1)!.end = slots.count
    slots.tail = cursor.at - this.gapStart
    return cursor.at
  }

  private readRecord(): boolean {
    const start = this.reader.fieldSets.length
    let isHome = true
    const names = new Set<string>()
    const isRead = this.readMembers(names, (name) => {
      if (name === "timestamp") return this.readSlot(slotKind.timestamp, name)
      // The plain way reads the home's fields before those of its heat pumps, wherever they stand.
      if (name !== "heatpumps") return isHome && this.readField(name)
      isHome = false
      this.endGroup("", 0, start)
      return this.readHeatpumps()
    })
    if (isHome) this.endGroup("", 0, start)
    return isRead && names.has("timestamp")
  }

  private readHeatpumps(): boolean {
    const { cursor } = this
    if (!cursor.take(openBracket)) return false
    do {
      if (!this.readHeatpump()) return false
    } while (cursor.take(comma))
    return cursor.take(closeBracket)
  }

  private readHeatpump(): boolean {
    const { slots } = this
    const first = slots.count
    const start = this.reader.fieldSets.length
    const names = new Set<string>()
    const tags = { id: "", manufacturer: "", model: "" }
    const isRead = this.readMembers(names, (name) => {
      if (name === "values") return this.readMembers(new Set(), (name) => this.readField(name))
      if (name !== "id" && name !== "manufacturer" && name !== "model") return this.readSlot(slotKind.ignored, name)
      const text = this.readTag(name)
      tags[name] = text ?? ""
      return text !== undefined
    })
    const { id, manufacturer, model } = tags
    if (!isRead || !names.has("values") || !tagPattern.test(id)) return false
    if (manufacturer !== "" && !tagPattern.test(manufacturer)) return false
    if (model !== "" && !isModelName(model)) return false
    this.endGroup(`${id}\n${manufacturer}\n${model}`, first, start)
    return true
  }

  /** The string as it stands there: with an escape in it, it passes no pattern. */
  private readTag(name: string): string | undefined {
    const { bytes, at } = this.cursor
    if (bytes[at] !== quote || !this.readSlot(slotKind.constant, name)) return undefined
    return bytes.toString("latin1", at + 1, this.cursor.at - 1)
  }

  private readField(name: string): boolean {
    if (this.cursor.bytes[this.cursor.at] !== openBrace) return this.readSlot(slotKind.direct, name)
    const names = new Set<string>()
    const isRead = this.readMembers(names, (key) =>
      this.readSlot(key === "value" ? slotKind.wrapped : slotKind.ignored, name)
    )
    return isRead && names.has("value")
  }

  /** An object of at least one member. */
  private readMembers(names: Set<string>, readValue: (name: string) => boolean): boolean {
    const { cursor } = this
    if (!cursor.take(openBrace)) return false
    do {
      const name = cursor.name(names)
      if (name === undefined || !readValue(name)) return false
    } while (cursor.take(comma))
    return cursor.take(closeBrace)
  }

  private readSlot(kind: number, name: string): boolean {
    const { cursor, slots } = this
    const slot = slots.count
    if (slot === maxSlots) return false
    slots.count++
    slots.kinds[slot] = kind
    slots.names.push(name)
    slots.fields.push(undefined)
    slots.gaps[slot] = cursor.at - this.gapStart
    const end = this.reader.read(slot, cursor.at, 0)
    if (end < 0) return false
    cursor.at = end
    this.gapStart = end
    return true
  }

  private endGroup(key: string, first: number, start: number): void {
    const { count, groups, written } = this.slots
    let samples = 0
    for (let slot = first; slot < count; slot++) if (written[slot]! > 0) samples++
    groups.push({ key, end: count, source: -1, samples, start, stop: this.reader.fieldSets.length - 1 })
  }
}
