import type { Field } from "./Field.js"

/** What the token of a slot is for. Those below `ignored` hold samples. */
export const slotKind = {
  /** A field's value; text and null are no sample. */
  direct: 0,
  /** The value within `{"value": …, "text": …}`; null is no sample, and text is refused. */
  wrapped: 1,
  /** Of no meaning: any scalar. */
  ignored: 2,
  timestamp: 3,
  /** Names the heat pump: another token is another layout. */
  constant: 4
} as const

/** More than a record with the most fields that a reading may have, each of them wrapped. */
export const maxSlots = 4096

/** The slots of one source in a record, in one stretch: all before `end` that are not of the group before. */
export interface SlotGroup {
  /** "" is the home. */
  readonly key: string
  end: number
  /** Position in the list of sources; -1 until a reading has made it one. */
  source: number
  /** Of the last record: its samples, and where its field set lies. */
  samples: number
  start: number
  stop: number
}

/**
 * The layout of the last record, and what it held. A record is seen as slots: each a *gap* of structure, names and space
 * that consecutive records share byte by byte, and a *token*, the scalar behind it. A tail of structure ends it.
 */
export class Slots {
  count = 0
  /** Bytes of the gap before a token, and of the token. */
  readonly gaps = new Int32Array(maxSlots)
  readonly lengths = new Int32Array(maxSlots)
  /** Bytes of the token's part in the field set, `name=value,`; 0 when it has none. */
  readonly written = new Int32Array(maxSlots)
  /** Of that, the bytes of `name=`; known once the slot has held a value. */
  readonly nameLengths = new Int32Array(maxSlots)
  /** 1 when the token is a value out of its bounds. */
  readonly dropped = new Uint8Array(maxSlots)
  readonly kinds = new Uint8Array(maxSlots)
  readonly names: Array<string> = []
  /** Looked up for the first value of a slot: a name that only ever has text costs the home nothing. */
  readonly fields: Array<Field | undefined> = []
  readonly groups: Array<SlotGroup> = []
  tail = 0

  /** Whether a value of the first group, the home's, was out of its bounds. */
  homeHasDropped(): boolean {
    return this.dropped.subarray(0, this.groups[0]!.end).includes(1)
  }

  clear(): void {
    this.count = 0
    this.names.length = 0
    this.fields.length = 0
    this.groups.length = 0
  }
}
