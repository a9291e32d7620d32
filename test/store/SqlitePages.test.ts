import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { openSqlite, pageBytes, transaction } from "../../src/store/Sqlite.js"
import { SqlitePages } from "../../src/store/SqlitePages.js"
import { type Frame, frameBytes, headerBytes, type LogHeader, logOf, usual } from "../support/sqliteLog.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-pages-"))
afterAll(() => rmSync(root, { recursive: true }))
let files = 0
const freshFile = () => join(root, `${files++}.sqlite`)

const contentOf = (page: number, version: number) => Buffer.alloc(pageBytes, `${page} as of ${version};`)
/** Of each transaction the numbers of its pages; the version of a page is the number of its frame. */
const framesOf = (transactions: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<Frame> =>
  transactions
    .flatMap((pages) => pages.map((page, i) => ({ page, commit: i === pages.length - 1 ? 9 : 0 })))
    .map((frame, version) => ({ ...frame, content: contentOf(frame.page, version) }))

const filePages = 3
const fileContent = Buffer.concat([1, 2, 3].map((page) => contentOf(page, -1)))

interface Seen {
  readonly state: string
  readonly totalBytes: number
  readonly numbers: ReadonlyArray<number>
  readonly version: (page: number) => string | undefined
}
const looking = <A>(file: string, look: (pages: SqlitePages) => A): A => {
  const pages = new SqlitePages(file)
  try {
    return look(pages)
  } finally {
    pages.close()
  }
}
const see = (log: Buffer, content: Buffer | null = fileContent): Seen => {
  const file = freshFile()
  if (content !== null) writeFileSync(file, content)
  writeFileSync(`${file}-wal`, log)
  try {
    return looking(file, (pages) => {
      const versions = new Map<number, string>()
      for (let page = 0; page < 12; page++) {
        const into = Buffer.alloc(pageBytes, 0xff)
        if (!pages.read(page, into)) continue
        const text = into.toString("latin1", 0, 30).split(";")[0]!
        assert.isTrue(into.equals(Buffer.alloc(pageBytes, `${text};`)), `page ${page} is mixed up`)
        versions.set(page, text)
      }
      const { log, totalBytes } = pages
      const numbers = [...pages.numbers()]
      return { state: log.state, totalBytes, numbers, version: (page) => versions.get(page) }
    })
  } finally {
    for (const suffix of ["", "-wal"]) rmSync(file + suffix, { force: true })
  }
}

/** What is to be seen when of the log's frames exactly `frames` count. */
const assertSeen = (seen: Seen, state: string, frames: ReadonlyArray<Frame>) => {
  const latest = new Map<number, Buffer>([1, 2, 3].map((page) => [page, contentOf(page, -1)]))
  const inLog = new Set<number>()
  for (const { content, page } of frames) {
    latest.set(page, content)
    inLog.add(page)
  }
  assert.strictEqual(seen.state, state)
  assert.sameMembers([...seen.numbers], [...latest.keys()])
  assert.lengthOf(seen.numbers, latest.size)
  assert.strictEqual(seen.totalBytes, (filePages + inLog.size) * pageBytes)
  for (let page = 0; page < 12; page++) {
    assert.strictEqual(seen.version(page), latest.get(page)?.toString("latin1").split(";")[0], `page ${page}`)
  }
}

const transactions = (minLength: number) =>
  fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 3 }), { minLength, maxLength: 5 })
const byteOrders = fc.boolean().map((isLittleEndian): LogHeader => ({ ...usual, isLittleEndian }))
const runs = { numRuns: 60 }

describe("the pages of a file and its log", () => {
  it("are those that SQLite would write back", () => {
    const file = freshFile()
    const copy = freshFile()
    Effect.gen(function* () {
      const db = yield* openSqlite(file)
      for (let i = 0; i < 6; i++) {
        transaction(db, () =>
          db
            .prepare("INSERT INTO installation (id, last_received_ms, blocks, records, samples) VALUES (?, ?, 1, 1, 1)")
            .run([`home ${i} ${"x".repeat(i * 5000)}`, i])
        )
      }
      for (const suffix of ["", "-wal"]) copyFileSync(file + suffix, copy + suffix)
    }).pipe(Effect.scoped, Effect.runSync)

    // The writer of these tests comes to SQLite's own bytes.
    const log = readFileSync(`${copy}-wal`)
    const frames = Array.from({ length: (log.length - headerBytes) / frameBytes }, (_, i): Frame => {
      const at = headerBytes + i * frameBytes
      const content = log.subarray(at + 24, at + frameBytes)
      return { page: log.readUInt32BE(at), commit: log.readUInt32BE(at + 4), content }
    })
    const isLittleEndian = log.readUInt32BE(0) === 0x377f0682
    const header = { isLittleEndian, sequence: log.readUInt32BE(12), salts: log.readBigUInt64BE(16) }
    assert.isTrue(logOf(frames, header).equals(log))
    assert.isTrue(frames.length > 6)

    const writtenBack = readFileSync(file)
    looking(copy, (pages) => {
      assert.strictEqual(pages.log.state, "whole")
      const page = Buffer.alloc(pageBytes)
      const read = [...pages.numbers()]
        .sort((a, b) => a - b)
        .map((number) => {
          assert.isTrue(pages.read(number, page))
          return Buffer.from(page)
        })
      assert.isTrue(Buffer.concat(read).equals(writtenBack))
      assert.deepStrictEqual(pages.header(), { application: 0x4850544c, version: writtenBack.readInt32BE(60) })
    })
  })

  it("are those of the last transaction, in either byte order, with what earlier logs have left behind the end", () => {
    fc.assert(
      fc.property(transactions(0), byteOrders, transactions(0), (made, header, earlier) => {
        const frames = framesOf(made)
        const log = logOf(frames, header)
        const left = logOf(framesOf(earlier), { ...header, salts: 0x0102030405060707n }).subarray(headerBytes)
        assertSeen(see(Buffer.concat([log, left])), "whole", frames)
      }),
      runs
    )
  })

  it("are those of the transaction before one that was not written to its end: the log is torn", () => {
    fc.assert(
      fc.property(transactions(1), byteOrders, fc.nat(), (made, header, cut) => {
        const frames = framesOf(made)
        const last = frames.length - made.at(-1)!.length
        // Within the last transaction, not at its beginning and not at its end.
        const length = (frames.length - last) * frameBytes
        const log = logOf(frames, header)
        const torn = log.subarray(0, headerBytes + last * frameBytes + 16 + (cut % (length - 17)))
        assertSeen(see(torn), "torn", frames.slice(0, last))
      }),
      runs
    )
  })

  it("are as late as they can be read when a damaged place is not in the last transaction: the log is broken", () => {
    const places = {
      page: { at: 3, alsoNext: false },
      salts: { at: 12, alsoNext: false },
      // The next frame's checksum runs on from it.
      checksum: { at: 17, alsoNext: true },
      secondChecksum: { at: 22, alsoNext: true },
      content: { at: 24 + 5_000, alsoNext: false },
      end: { at: frameBytes - 1, alsoNext: false }
    }
    const place = fc.constantFrom(...Object.values(places))
    let [torn, broken, beforeLast] = [0, 0, 0]
    fc.assert(
      fc.property(transactions(1), byteOrders, fc.nat(), place, (made, header, nth, { alsoNext, at }) => {
        const frames = framesOf(made)
        const damaged = nth % frames.length
        const log = logOf(frames, header)
        const byte = headerBytes + damaged * frameBytes + at
        log[byte] = log[byte]! ^ 0x40
        const lost = (i: number) => i === damaged || (alsoNext && i === damaged + 1)
        const isSaltless = (i: number) => i === damaged && at === places.salts.at
        const ends = frames.flatMap(({ commit }, i) => (commit === 0 ? [] : [i]))
        const first = 1 + Math.max(-1, ...ends.filter((i) => i < damaged))
        // What tells that several transactions begin with the damaged one.
        const endsSeen = ends.filter((i) => i >= damaged && !isSaltless(i))
        const pagesSeen = frames.flatMap(({ page }, i) =>
          i < first || isSaltless(i) ? [] : [i === damaged && at === places.page.at ? page ^ 0x40 : page]
        )
        const isPageRepeated = new Set(pagesSeen).size < pagesSeen.length
        if (endsSeen.length > 1 || (endsSeen.length > 0 && isPageRepeated)) {
          const lastEnd = Math.max(...ends.filter((i) => !lost(i)))
          assertSeen(
            see(log),
            "broken",
            frames.filter((_, i) => !lost(i) && i <= lastEnd)
          )
          broken++
          if (damaged === ends.at(-2)) beforeLast++
        } else {
          // Nothing tells a whole transaction of one frame, its salts overwritten, from what earlier logs have left.
          if (isSaltless(damaged) && damaged === frames.length - 1 && first === damaged) return
          assertSeen(see(log), "torn", frames.slice(0, first))
          torn++
        }
      }),
      { numRuns: 4 * runs.numRuns }
    )
    assert.isTrue(torn > 5 && broken > 5 && beforeLast > 5)
  })

  it("are found without the log's header, by the salts that follow each other, or not at all", () => {
    const frames = framesOf([[1, 2], [2, 5], [3]])
    for (const damage of [
      (log: Buffer) => log.fill(0, 0, headerBytes),
      (log: Buffer) => log.fill(0xa5, 0, headerBytes),
      ...Array.from({ length: headerBytes }, (_, at) => (log: Buffer) => log.writeUInt8(log[at]! ^ 0x20, at))
    ]) {
      const log = logOf(frames)
      damage(log)
      assertSeen(see(log), "broken", frames)
    }
    // The first frame is lost as well, and what is left of an earlier log does not count.
    const log = logOf(framesOf([[7], [1, 2], [2, 5], [3]]))
    log.fill(0, 0, headerBytes + 200)
    const earlier = logOf(framesOf([[4], [6, 6]]), { ...usual, salts: 5n }).subarray(headerBytes)
    const seen = see(Buffer.concat([log, earlier]))
    assert.strictEqual(seen.state, "broken")
    assert.deepStrictEqual([4, 5, 6, 7].map(seen.version), [undefined, "5 as of 4", undefined, undefined])
    assert.deepStrictEqual([1, 2, 3].map(seen.version), ["1 as of 1", "2 as of 3", "3 as of 5"])

    // Zeros are no log; anything else is one that cannot be read.
    for (const length of [headerBytes, headerBytes + 3 * frameBytes]) {
      assertSeen(see(Buffer.alloc(length)), "whole", [])
      assertSeen(see(Buffer.alloc(length, 0x77)), "broken", [])
    }
    assertSeen(see(Buffer.alloc(headerBytes).fill(1, 9, 10)), "broken", [])
    assertSeen(see(Buffer.alloc(0)), "whole", [])
  })

  it("go beyond the end of a file that is shorter than it was, and of one that is missing", () => {
    const frames = framesOf([
      [1, 4],
      [2, 3]
    ])
    for (const [content, fileBytes] of [
      [null, 0],
      [fileContent.subarray(0, pageBytes + 1), pageBytes + 1]
    ] as const) {
      const seen = see(logOf(frames), content)
      assert.deepStrictEqual([...seen.numbers].sort(), [1, 2, 3, 4])
      assert.strictEqual(seen.totalBytes, fileBytes + 4 * pageBytes)
      assert.strictEqual(seen.version(3), "3 as of 3")
      assert.strictEqual(seen.version(5), undefined)
    }
    const file = freshFile()
    writeFileSync(file, Buffer.alloc(pageBytes + 10, 1))
    looking(file, (pages) => {
      const into = Buffer.alloc(pageBytes, 7)
      assert.deepStrictEqual([...pages.numbers()], [1, 2])
      assert.isTrue(pages.read(2, into))
      assert.isTrue(into.equals(Buffer.concat([Buffer.alloc(10, 1)], pageBytes)))
      assert.deepStrictEqual([pages.read(0, into), pages.read(3, into)], [false, false])
      assert.isUndefined(pages.header())
    })
  })

  it("are zeros where nothing can be read; only a file that is missing may be", () => {
    const directory = freshFile()
    mkdirSync(directory)
    const open = readdirSync("/proc/self/fd").length
    looking(directory, (pages) => {
      // Reading a directory fails as an unreadable sector does.
      assert.isAbove(statSync(directory).size, 0)
      const into = Buffer.alloc(pageBytes, 7)
      assert.isTrue(pages.read(1, into))
      assert.isTrue(into.equals(Buffer.alloc(pageBytes)))
      assert.isUndefined(pages.header())
    })
    looking(freshFile(), (pages) => {
      assert.deepStrictEqual([pages.fileBytes, pages.totalBytes, [...pages.numbers()]], [0, 0, []])
      assert.isUndefined(pages.header())
    })
    const file = freshFile()
    writeFileSync(file, "")
    assert.throws(() => new SqlitePages(join(file, "below a file")), /ENOTDIR/)
    assert.lengthOf(readdirSync("/proc/self/fd"), open)
  })
})
