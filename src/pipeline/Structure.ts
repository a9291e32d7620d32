/**
 * Whether a body is worth parsing. JSON of nothing but `{},{},…` or `[[[[…` becomes 60 times its size in objects, and
 * keeps the only thread busy for seconds; a submission has an object or array every 100 to 5,000 bytes. And records of a few
 * bytes become ten times their size in memory, as lines with all their tags.
 *
 * Cost: one native search per bracket, 0.1 ms for a logger's batch of 2.7 MB, less than a hundredth of parsing it; at
 * most 8 ms for 16 MB of any content. Brackets within strings count too.
 */
const alwaysParsedBytes = 64 * 1024
/** A record of one sensor with a short name has 32 bytes and one bracket. */
const bytesPerBracket = 24
/** A home that writes every second has 86,400 records a day. Beyond it they have to be longer, as a logger's are. */
const manyBrackets = 150_000
const bytesPerBracketOfMany = 64

const openBrace = 0x7b
const openBracket = 0x5b

/** Opening brackets: no fewer than there are readings. Those beyond `most` are not counted. */
export const bracketsIn = (bytes: Uint8Array, most = Number.POSITIVE_INFINITY): number => {
  let count = 0
  for (const bracket of [openBrace, openBracket]) {
    for (let at = bytes.indexOf(bracket); at >= 0; at = bytes.indexOf(bracket, at + 1)) {
      if (++count > most) return count
    }
  }
  return count
}

/** To be asked before a body is parsed; small ones always are. */
export const isTooDense = (body: Uint8Array): boolean => {
  if (body.length <= alwaysParsedBytes) return false
  const most = Math.min(body.length / bytesPerBracket, Math.max(manyBrackets, body.length / bytesPerBracketOfMany))
  return bracketsIn(body, most) > most
}

/** A record of every known sensor has 700; a dictionary of so many costs a few milliseconds. */
const mostFields = 20_000

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const closeBrace = 0x7d
const closeBracket = 0x5d

/**
 * Whether an object has more fields than any record. To be asked before a parser builds it: a million keys in one
 * object become a dictionary, which takes ten times as long as they do in records, two seconds for 16 MB.
 *
 * Cost: one pass over the bytes, a tenth of parsing them. Says nothing of what is not JSON.
 */
export const hasGiantObject = (body: Uint8Array): boolean => {
  /** Fields seen in each object that is open; arrays may have any number of elements. */
  const fields: Array<number> = []
  let count = Number.NEGATIVE_INFINITY
  for (let at = 0; at < body.length; at++) {
    switch (body[at]) {
      case quote:
        for (at++; at < body.length && body[at] !== quote; at++) if (body[at] === backslash) at++
        break
      case comma:
        if (++count >= mostFields) return true
        break
      case openBrace:
        fields.push(count)
        count = 0
        break
      case openBracket:
        fields.push(count)
        count = Number.NEGATIVE_INFINITY
        break
      case closeBrace:
      case closeBracket:
        count = fields.pop() ?? Number.NEGATIVE_INFINITY
    }
  }
  return false
}
