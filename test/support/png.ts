import { inflateSync } from "node:zlib"

const signature = Buffer.from("89504e470d0a1a0a", "hex")

/** Size of a PNG, and how many different bytes its rows have: 3 or so when it is blank. https://www.w3.org/TR/png-3/ */
export const readPng = (file: Buffer) => {
  if (!file.subarray(0, 8).equals(signature)) throw new Error("not a PNG")
  const data: Array<Buffer> = []
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at)
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") data.push(file.subarray(at + 8, at + 8 + length))
    at += length + 12
  }
  return {
    width: file.readUInt32BE(16),
    height: file.readUInt32BE(20),
    differentBytes: new Set(inflateSync(Buffer.concat(data))).size
  }
}
