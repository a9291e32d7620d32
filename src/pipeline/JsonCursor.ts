/**
 * A strict reading of JSON (RFC 8259) on bytes: nothing passes here that JSON.parse refuses or reads otherwise. Less passes
 * than is JSON: member names are up to 128 letters, digits and `_`, which start neither with a digit (JavaScript would
 * reorder them) nor with `__`, and none may come twice.
 */
export const quote = 0x22
export const comma = 0x2c
export const minus = 0x2d
export const point = 0x2e
export const zero = 0x30
export const nine = 0x39
export const openBracket = 0x5b
export const closeBracket = 0x5d
export const openBrace = 0x7b
export const closeBrace = 0x7d
const colon = 0x3a
const backslash = 0x5c

/** By byte: the letters, digits and `_`. */
const isNameByte = Uint8Array.from({ length: 256 }, (_, byte) => Number(/\w/.test(String.fromCharCode(byte))))
const maxNameBytes = 128

const isHexDigit = (byte: number): boolean => /[0-9A-Fa-f]/.test(String.fromCharCode(byte))
/** The characters that may follow a backslash, besides `u` and its four digits. */
const escapes: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'))

export const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= zero && byte <= nine

const afterSpace = (bytes: Uint8Array, start: number): number => {
  let at = start
  let byte = bytes[at]
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]
  return at
}

/**
 * The position behind the string that begins at `start`; -1 when there is none. Bytes that are not UTF-8 pass:
 * `Buffer.toString` makes U+FFFD of them, and never takes a quote, a backslash or a control character along.
 */
export const endOfString = (bytes: Uint8Array, start: number): number => {
  if (bytes[start] !== quote) return -1
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === quote) return at + 1
    if (byte < 0x20) return -1
    if (byte !== backslash) continue
    if (escapes.has(bytes[++at] ?? 0)) continue
    if (bytes[at] !== 0x75) return -1
    for (let digits = 0; digits < 4; digits++) if (!isHexDigit(bytes[++at] ?? 0)) return -1
  }
  return -1
}

/** The position behind `word`, which is ASCII, when that stands at `start`; otherwise -1. */
export const endOfWord = (bytes: Uint8Array, start: number, word: Uint8Array): number => {
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word[i]) return -1
  return start + word.length
}

export class JsonCursor {
  constructor(
    readonly bytes: Buffer,
    public at = 0
  ) {}

  /** Takes the space that may stand before a token. */
  skipSpace(): void {
    this.at = afterSpace(this.bytes, this.at)
  }

  /** Takes a token of one byte, and space before it; false when another stands there. */
  take(byte: number): boolean {
    this.skipSpace()
    if (this.bytes[this.at] !== byte) return false
    this.at++
    return true
  }

  /** Takes everything up to a member's value; undefined when its name does not pass or is among `taken`, to which it is added. */
  name(taken: Set<string>): string | undefined {
    const { bytes } = this
    if (!this.take(quote)) return undefined
    const start = this.at
    let end = start
    while (isNameByte[bytes[end] ?? 0] === 1) end++
    if (bytes[end] !== quote || end === start || end - start > maxNameBytes || isDigit(bytes[start])) return undefined
    const name = bytes.toString("latin1", start, end)
    if (name.startsWith("__") || taken.has(name)) return undefined
    taken.add(name)
    this.at = end + 1
    if (!this.take(colon)) return undefined
    this.skipSpace()
    return name
  }
}
