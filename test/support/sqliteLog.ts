import { pageBytes } from "../../src/store/Sqlite.js"

export const headerBytes = 32
export const frameBytes = 24 + pageBytes

export interface Frame {
  readonly page: number
  /** The file's pages after the transaction that this frame ends; 0 in its midst. */
  readonly commit: number
  readonly content: Buffer
}
export interface LogHeader {
  readonly isLittleEndian: boolean
  readonly sequence: number
  readonly salts: bigint
}
export const usual: LogHeader = { isLittleEndian: true, sequence: 3, salts: 0x0102030405060708n }

/** A log as section 4.1 of https://www.sqlite.org/fileformat2.html says. */
export const logOf = (frames: ReadonlyArray<Frame>, { isLittleEndian, salts, sequence }: LogHeader = usual): Buffer => {
  const sum = new Uint32Array(2)
  const add = (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += 8) {
      const word = (i: number) => (isLittleEndian ? bytes.readUInt32LE(at + i) : bytes.readUInt32BE(at + i))
      sum[0] = sum[0]! + word(0) + sum[1]!
      sum[1] = sum[1]! + word(4) + sum[0]!
    }
    const checksum = Buffer.alloc(8)
    checksum.writeUInt32BE(sum[0]!)
    checksum.writeUInt32BE(sum[1]!, 4)
    return checksum
  }
  const saltBytes = Buffer.alloc(8)
  saltBytes.writeBigUInt64BE(salts)
  const numbers = (...values: ReadonlyArray<number>) =>
    Buffer.concat(
      values.map((value) => {
        const bytes = Buffer.alloc(4)
        bytes.writeUInt32BE(value)
        return bytes
      })
    )
  const magic = isLittleEndian ? 0x377f0682 : 0x377f0683
  const header = Buffer.concat([numbers(magic, 3_007_000, pageBytes, sequence), saltBytes])
  const parts: Array<Buffer> = [header, add(header)]
  for (const { commit, content, page } of frames) {
    const start = numbers(page, commit)
    add(start)
    parts.push(start, saltBytes, add(content), content)
  }
  return Buffer.concat(parts)
}
