import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { pageBytes } from "../../src/store/Sqlite.js"
import { Store } from "../../src/store/Store.js"
import { contents, crashedStores, fileIn, layerIn, logIn } from "../support/crashedStores.js"
import { freshDirectories } from "../support/directories.js"
import { captureLogs } from "../support/testServer.js"

const freshDirectory = freshDirectories()
const stores = crashedStores(freshDirectory)

/** Opens the store, reads everything, appends one more block and closes; with what was logged meanwhile. */
const serveOnce = (directory: string) =>
  Effect.gen(function* () {
    const logs = captureLogs()
    const served = yield* Effect.gen(function* () {
      const found = yield* contents
      assert.deepStrictEqual(yield* (yield* Store).append([stores().late]), ["stored"])
      return found
    }).pipe(Effect.provide(Layer.provideMerge(layerIn(directory), logs.layer)))
    return { ...served, log: logs.lines.join("\n") }
  })

const copyOf = (directory: string) => {
  const copy = freshDirectory()
  cpSync(directory, copy, { recursive: true })
  return copy
}
const overwrite = (file: string, from: number, bytes: Uint8Array) => {
  const fd = openSync(file, "r+")
  writeSync(fd, bytes, 0, bytes.length, from)
  closeSync(fd)
}
const noise = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * i * 31 + 7 * i) & 255))

const setAsideIn = (directory: string) => readdirSync(directory).filter((name) => /\.damaged-\d{8}T\d{9}Z$/.test(name))
const leftovers = (directory: string) =>
  readdirSync(directory).filter((name) => !/^telemetry\.sqlite(\.damaged-\d{8}T\d{9}Z)?(-wal|-shm)?$/.test(name))

const frameBytes = pageBytes + 24
/** The frames of a log as far as it was written, by the page count of those that end a transaction. */
const commitsOf = (log: Buffer) => {
  const commits: Array<number> = []
  for (let at = 32; at + frameBytes <= log.length; at += frameBytes) {
    if (log.readUInt32BE(at + 4) !== 0) commits.push(at)
  }
  return commits
}

describe("a damaged file is repaired at start", () => {
  it.live("not when nothing is damaged: after a stop and after a crash all is there, and nothing is logged", () =>
    Effect.gen(function* () {
      for (const directory of [stores().closed, stores().crashed].map(copyOf)) {
        const { log, ...found } = yield* serveOnce(directory)
        assert.deepStrictEqual(found, stores().expected)
        assert.strictEqual(log, "")
        assert.deepStrictEqual(setAsideIn(directory), [])
      }
    })
  )

  /** Name, damage, what the log line says, and how many of the 31 blocks must be saved. */
  const cases: ReadonlyArray<{
    readonly name: string
    readonly of: () => string
    readonly damage: (directory: string) => void
    readonly line: RegExp
    readonly atLeast: () => number
  }> = [
    {
      name: "broken log: overwritten in its midst",
      of: () => stores().crashed,
      damage: (directory) => {
        // In the body of the first frame of a transaction of several, in an overflow page.
        const commits = commitsOf(readFileSync(logIn(directory)))
        const middle = commits.findIndex((at, i) => i > commits.length / 2 && at - commits[i - 1]! > 4 * frameBytes)
        overwrite(logIn(directory), commits[middle - 1]! + 3 * frameBytes + 100, noise(4096))
      },
      line: /damaged: broken log: /,
      atLeast: () => stores().stored.length - 1
    },
    {
      name: "broken log: its beginning is lost",
      of: () => stores().crashed,
      damage: (directory) => overwrite(logIn(directory), 0, Buffer.alloc(4096)),
      line: /damaged: broken log: /,
      atLeast: () => stores().stored.length
    },
    {
      name: "lost file: the log is there, the file is not",
      of: () => stores().crashed,
      damage: (directory) => rmSync(fileIn(directory)),
      line: /damaged: lost file: /,
      atLeast: () => stores().stored.length
    },
    {
      name: "lost file: the file is empty",
      of: () => stores().crashed,
      damage: (directory) => truncateSync(fileIn(directory)),
      line: /damaged: lost file: /,
      atLeast: () => stores().stored.length
    },
    {
      name: "malformed database: half written back when its log was lost",
      of: () => stores().closed,
      damage: (directory) => {
        const file = readFileSync(fileIn(directory))
        // Every other page is still as it was.
        for (let page = 2; (page + 1) * pageBytes <= stores().behind.length; page += 2) {
          stores().behind.copy(file, page * pageBytes, page * pageBytes, (page + 1) * pageBytes)
        }
        writeFileSync(fileIn(directory), file)
      },
      line: /damaged: malformed database: /,
      atLeast: () => 5
    },
    {
      name: "file is not a database: its first page is zeros",
      of: () => stores().closed,
      damage: (directory) => overwrite(fileIn(directory), 0, Buffer.alloc(pageBytes)),
      line: /damaged: file is not a database/,
      atLeast: () => stores().stored.length
    },
    {
      name: "malformed: the schema is overwritten",
      of: () => stores().closed,
      damage: (directory) => overwrite(fileIn(directory), 100, noise(pageBytes - 100)),
      line: /damaged: .*malformed/,
      atLeast: () => stores().stored.length
    },
    {
      name: "malformed: a tree's page is overwritten",
      of: () => stores().closed,
      damage: (directory) => {
        const file = readFileSync(fileIn(directory))
        const pages = Array.from({ length: file.length / pageBytes - 2 }, (_, i) => i + 2)
        const leaf = pages.find((page) => file[page * pageBytes] === 0x0d)!
        overwrite(fileIn(directory), leaf * pageBytes, noise(4096))
      },
      line: /damaged: malformed database: /,
      atLeast: () => stores().stored.length / 2
    },
    {
      name: "malformed: truncated",
      of: () => stores().closed,
      damage: (directory) =>
        truncateSync(fileIn(directory), Math.floor(readFileSync(fileIn(directory)).length * 0.7) + 1000),
      line: /damaged: .*malformed/,
      atLeast: () => stores().stored.length / 2
    },
    {
      name: "file is not a database: replaced by garbage",
      of: () => stores().closed,
      damage: (directory) => writeFileSync(fileIn(directory), noise(300_000)),
      line: /damaged: file is not a database/,
      atLeast: () => 0
    }
  ]
  for (const { atLeast, damage, line, name, of } of cases) {
    it.live(name, () =>
      Effect.gen(function* () {
        const directory = copyOf(of())
        damage(directory)
        const before = ["", "-wal"].map((suffix) => {
          const file = fileIn(directory) + suffix
          return existsSync(file) ? readFileSync(file) : Buffer.alloc(0)
        })
        const { log, ...found } = yield* serveOnce(directory)
        assert.match(log, line)
        assert.match(log, /has been set aside/)
        assert.isAtLeast(found.blocks, atLeast())
        if (found.blocks === stores().stored.length) assert.deepStrictEqual(found, stores().expected)
        assert.include(log, `"savedBlocks":${found.blocks}`)

        // What was damaged is kept as it was, under a name of its own.
        const all = readdirSync(directory)
        for (const [suffix, bytes] of [["", before[0]!] as const, ["-wal", before[1]!] as const]) {
          const name = all.find((name) => new RegExp(`\\.damaged-\\d{8}T\\d{9}Z${suffix}$`).test(name))
          if (bytes.length > 0) assert.isTrue(readFileSync(join(directory, name!)).equals(bytes), `kept${suffix}`)
        }
        assert.deepStrictEqual(leftovers(directory), [])

        // What was saved can be stored again without doubles, and the next start finds nothing wrong.
        yield* Effect.gen(function* () {
          yield* (yield* Store).append(stores().stored)
          assert.strictEqual((yield* contents).blocks, stores().stored.length + 1)
          assert.deepStrictEqual((yield* contents).records, stores().expected.records)
        }).pipe(Effect.provide(layerIn(directory)))
        assert.isAtMost(setAsideIn(directory).length, 1)
      })
    )
  }

  it.live("torn log: its last transaction, never acknowledged, is dropped with a word; the rest is there", () =>
    Effect.gen(function* () {
      const commits = commitsOf(readFileSync(logIn(stores().crashed)))
      const last = commits.at(-1)!
      const tears: ReadonlyArray<(file: string) => void> = [
        (file) => truncateSync(file, last + 5000),
        // Written out of order: the commit is there, what it commits is not.
        (file) => overwrite(file, last - frameBytes + 3000, Buffer.alloc(4096)),
        (file) => truncateSync(file, last - frameBytes)
      ]
      for (const tear of tears) {
        const directory = copyOf(stores().crashed)
        tear(logIn(directory))
        const { blocks, log } = yield* serveOnce(directory)
        assert.strictEqual(blocks, stores().stored.length - 1)
        assert.match(log, /torn log: /)
        assert.deepStrictEqual(setAsideIn(directory), [])
      }
    })
  )

  it.live("missing log, the file being whole: what had been written back is served", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      writeFileSync(fileIn(directory), stores().behind)
      const { blocks, log } = yield* serveOnce(directory)
      assert.deepStrictEqual([blocks, log], [15, ""])
    })
  )
})

describe("a repair that is interrupted", () => {
  /** Its states, by replaying its renames: everything written, and as many of them done. */
  it.live("between its renames is finished at the next start, and no log meets another's file", () =>
    Effect.gen(function* () {
      const repaired = copyOf(stores().crashed)
      overwrite(logIn(repaired), 0, Buffer.alloc(4096))
      const damaged = copyOf(repaired)
      yield* Effect.scoped(Layer.build(Layer.provide(layerIn(repaired), captureLogs().layer)))
      for (const renames of [0, 1, 2]) {
        const directory = copyOf(damaged)
        cpSync(fileIn(repaired), `${fileIn(directory)}.salvaged`)
        for (const suffix of ["", "-wal"].slice(0, renames)) {
          renameSync(fileIn(directory) + suffix, `${fileIn(directory)}.damaged-20200101T000000000Z${suffix}`)
        }
        const { log, ...found } = yield* serveOnce(directory)
        assert.deepStrictEqual(found, stores().expected)
        assert.match(log, /a repair that had been interrupted is complete/)
        assert.notMatch(log, /damaged: /)
        assert.deepStrictEqual(leftovers(directory), [])
        assert.strictEqual(setAsideIn(directory).length, 1)
        assert.strictEqual(readdirSync(directory).filter((name) => /damaged.*-wal$/.test(name)).length, 1)
      }
    })
  )

  it.live("while it saves is begun anew", () =>
    Effect.gen(function* () {
      const directory = copyOf(stores().closed)
      overwrite(fileIn(directory), 0, Buffer.alloc(pageBytes))
      for (const suffix of ["", "-journal"]) {
        writeFileSync(`${fileIn(directory)}.salvaging${suffix}`, stores().behind.subarray(0, 100_000))
      }
      const { log, ...found } = yield* serveOnce(directory)
      assert.deepStrictEqual(found, stores().expected)
      assert.match(log, /damaged: file is not a database/)
      assert.deepStrictEqual(leftovers(directory), [])
    })
  )
})
