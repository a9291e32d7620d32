/** Bytes in pieces → whole lines. A line may be longer than a piece, and is copied once then. */
const lineFeed = 0x0a

export class LineSplitter {
  #pieces: Array<Uint8Array> = []

  constructor(private readonly onLine: (line: Buffer) => void) {}

  push(bytes: Uint8Array): void {
    let start = 0
    while (true) {
      const end = bytes.indexOf(lineFeed, start)
      if (end < 0) break
      const piece = bytes.subarray(start, end)
      const line = this.#pieces.length === 0 ? asBuffer(piece) : Buffer.concat([...this.#pieces, piece])
      this.#pieces = []
      this.onLine(line)
      start = end + 1
    }
    if (start < bytes.length) this.#pieces.push(bytes.subarray(start))
  }

  /** Whether what came last has no line feed behind it. */
  get isWithinLine(): boolean {
    return this.#pieces.length > 0
  }
}

const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
