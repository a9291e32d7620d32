import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import Database from "libsql"
import type { Block } from "../../src/domain/Block.js"
import { prepareInsert } from "../../src/store/insertBlock.js"
import { migrations } from "../../src/store/migrations.js"
import { type SalvagedBlock, salvageBlocks } from "../../src/store/Salvage.js"
import { openSqlite, pageBytes, transaction } from "../../src/store/Sqlite.js"
import { noisyBlock, recordedBlocks } from "../support/blocks.js"
import { installationOf } from "../support/storeHomes.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-salvage-"))
afterAll(() => rmSync(root, { recursive: true }))
let files = 0
const freshFile = () => join(root, `${files++}.sqlite`)

const nowMs = Date.now()
const sectorBytes = 4096

const salvage = (file: string) => {
  const saved: Array<SalvagedBlock> = []
  const rows = salvageBlocks(file, nowMs)
  while (true) {
    const next = rows.next()
    if (next.done) return { saved, damagedRows: next.value }
    saved.push(next.value)
  }
}
const salvageBytes = (bytes: Uint8Array, log?: Uint8Array) => {
  const file = freshFile()
  writeFileSync(file, bytes)
  if (log !== undefined) writeFileSync(`${file}-wal`, log)
  try {
    return salvage(file)
  } finally {
    for (const suffix of ["", "-wal"]) rmSync(file + suffix, { force: true })
  }
}

const keyOf = ({ installationId, sha256 }: Pick<Block, "installationId" | "sha256"> | SalvagedBlock) =>
  `${installationId} ${sha256.toString("hex")}`
const plain = (block: Block | SalvagedBlock) => ({
  ...block,
  heatpumpId: block.heatpumpId ?? null,
  receivedAtMs: nowMs
})
/** Every saved block is one that was stored, in every respect but those that bytes without a digest decide. */
const assertGenuine = (saved: ReadonlyArray<SalvagedBlock>, stored: ReadonlyArray<Block>) => {
  const byKey = new Map(stored.map((block) => [keyOf(block), plain(block)]))
  for (const block of saved) {
    const original = byKey.get(keyOf(block))
    assert.isDefined(original)
    // Of gzip's own header nothing but the lines depends.
    const isSame = block.gzippedLines.equals(original!.gzippedLines)
    if (!isSame) assert.deepStrictEqual(gunzipSync(block.gzippedLines), gunzipSync(original!.gzippedLines))
    const { gzippedLines, receivedAtMs } = original!
    assert.isAtMost(block.receivedAtMs, nowMs)
    assert.deepStrictEqual({ ...block, gzippedLines, receivedAtMs }, original)
  }
}

/** A file as it is after closing, each block in a transaction of its own. */
const fileOf = (blocks: ReadonlyArray<Block>): Buffer => {
  const file = freshFile()
  Effect.gen(function* () {
    const db = yield* openSqlite(file)
    const insert = prepareInsert(db)
    for (const block of blocks) transaction(db, () => insert(block, nowMs))
  }).pipe(Effect.scoped, Effect.runSync)
  return readFileSync(file)
}

/**
 * The pages that hold a block, found without any knowledge of the format: those in which stretches of its bytes are.
 * The last page of a chain may hold a few bytes only.
 */
const pagesOf = (file: Buffer, { gzippedLines }: Block): ReadonlySet<number> => {
  const pages = new Set<number>()
  const stretches = []
  for (let at = 0; at + 32 <= gzippedLines.length; at += 400) stretches.push(gzippedLines.subarray(at, at + 32))
  stretches.push(gzippedLines.subarray(-8))
  for (const stretch of stretches) {
    for (let at = file.indexOf(stretch); at >= 0; at = file.indexOf(stretch, at + 1)) {
      pages.add(Math.floor(at / pageBytes))
      pages.add(Math.floor((at + stretch.length - 1) / pageBytes))
    }
  }
  return pages
}

let blocks: ReadonlyArray<Block> = []
let whole: Buffer = Buffer.alloc(0)
let owners: ReadonlyMap<Block, ReadonlySet<number>> = new Map()

beforeAll(async () => {
  const sizes = [1, 1, 2, 5, 1, 20, 3, 1, 7, 1]
  blocks = await Promise.all(
    Array.from({ length: 60 }, (_, i) => noisyBlock(installationOf(i % 4), i, sizes[i % sizes.length]!, nowMs))
  )
  whole = fileOf(blocks)
  owners = new Map(blocks.map((block) => [block, pagesOf(whole, block)]))
})

describe("the salvage of a file", () => {
  it("saves real batches of several pages each, of one heat pump and of two, in every respect", async () => {
    const real = (
      await Promise.all((["flat500", "nested500", "flat3"] as const).map((name) => recordedBlocks(name, nowMs)))
    ).flat()
    const bytes = fileOf(real)
    assert.isTrue(real.some((block) => pagesOf(bytes, block).size >= 3))
    assert.isTrue(real.some(({ heatpumpId }) => heatpumpId !== undefined))
    const { damagedRows, saved } = salvageBytes(bytes)
    assert.strictEqual(damagedRows, 0)
    assert.strictEqual(saved.length, real.length)
    assertGenuine(saved, real)
  })

  it("saves each block once when nothing is damaged, whether it fits its page or takes several", () => {
    const { damagedRows, saved } = salvageBytes(whole)
    assert.strictEqual(damagedRows, 0)
    assert.deepStrictEqual(saved.map(keyOf).sort(), blocks.map(keyOf).sort())
    assertGenuine(saved, blocks)
    const sizes = blocks.map((block) => owners.get(block)!.size)
    assert.isTrue(sizes.includes(1) && sizes.some((size) => size >= 4))
  })

  it("saves every block whose own pages are untouched, and nothing false, whatever sectors are overwritten", () => {
    const sectors = whole.length / sectorBytes
    const sector = fc.nat({ max: sectors - 1 })
    const overwritten = fc.oneof(
      fc.record({ at: sector, with: fc.constant("zeros" as const) }),
      fc.record({ at: sector, with: fc.constant("noise" as const) }),
      // A write that went astray.
      fc.record({ at: sector, with: sector })
    )
    fc.assert(
      fc.property(fc.array(overwritten, { minLength: 1, maxLength: 40 }), (damage) => {
        const bytes = Buffer.from(whole)
        const touched = new Set<number>()
        for (const { at, with: what } of damage) {
          const target = bytes.subarray(at * sectorBytes, (at + 1) * sectorBytes)
          if (what === "zeros") target.fill(0)
          else if (what === "noise") for (let i = 0; i < sectorBytes; i++) target[i] = (i * i * 31 + at * 7) >>> 3
          else whole.copy(target, 0, what * sectorBytes, (what + 1) * sectorBytes)
          touched.add(Math.floor((at * sectorBytes) / pageBytes))
        }
        const { saved } = salvageBytes(bytes)
        assertGenuine(saved, blocks)
        const keys = new Set(saved.map(keyOf))
        for (const [block, pages] of owners) {
          if ([...pages].every((page) => !touched.has(page)))
            assert.isTrue(keys.has(keyOf(block)), "a whole block is lost")
        }
      }),
      { numRuns: 60 }
    )
  })

  it("saves every block that lies before the cut of a truncated file", () => {
    for (const share of [0, 0.1, 0.5, 0.9, 0.999]) {
      const cut = Math.floor(whole.length * share)
      const { saved } = salvageBytes(whole.subarray(0, cut))
      assertGenuine(saved, blocks)
      const keys = new Set(saved.map(keyOf))
      for (const [block, pages] of owners) {
        if (Math.max(...pages) < Math.floor(cut / pageBytes)) assert.isTrue(keys.has(keyOf(block)))
      }
    }
  })

  it("ends and gives nothing false, whatever the bytes of the file and its log are", () => {
    const leaf = [...owners.values()].flatMap((pages) => [...pages]).find((page) => whole[page * pageBytes] === 0x0d)!
    const edits = fc.array(fc.tuple(fc.nat({ max: pageBytes - 1 }), fc.nat({ max: 255 })), { maxLength: 300 })
    fc.assert(
      fc.property(edits, (edits) => {
        const bytes = Buffer.from(whole.subarray(0, (leaf + 4) * pageBytes))
        // A quarter of them in the header and among the offsets of the cells.
        for (const [at, byte] of edits) bytes[leaf * pageBytes + (at % 4 === 0 ? at % 64 : at)] = byte
        assertGenuine(salvageBytes(bytes).saved, blocks)
      }),
      { numRuns: 150 }
    )
    const arbitrary = fc.uint8Array({ maxLength: 3000 })
    const asLeaf = arbitrary.map((bytes) => Uint8Array.from([0x0d, 0, 0, 1, ...bytes]))
    fc.assert(
      fc.property(fc.oneof(arbitrary, asLeaf), fc.option(arbitrary, { nil: undefined }), (bytes, log) => {
        assert.deepStrictEqual(salvageBytes(bytes, log).saved, [])
      }),
      { numRuns: 200 }
    )
  })

  it("does not follow an overflow chain that leads in a circle for ever", () => {
    const bytes = Buffer.from(whole)
    // Every page but the leaves of tables names itself as the next one.
    for (let page = 1; page * pageBytes < bytes.length; page++) {
      if (bytes[page * pageBytes] !== 0x0d) bytes.writeUInt32BE(page + 1, page * pageBytes)
    }
    assertGenuine(salvageBytes(bytes).saved, blocks)
  })

  it("believes the lines, not the row: its counts, tags and times are overwritten", async () => {
    const block = await noisyBlock(installationOf(1), 77, 2, nowMs)
    const received = [nowMs + 10 * 86_400_000, -5, 2 ** 62]
    const file = freshFile()
    for (const receivedAtMs of received) {
      rmSync(file, { force: true })
      Effect.gen(function* () {
        const db = yield* openSqlite(file)
        prepareInsert(db)({ ...block, installationId: installationOf(9), model: "x", records: 5, samples: 6 }, nowMs)
        db.prepare(`UPDATE block SET received_at_ms = ${BigInt(receivedAtMs)}, first_timestamp_ms = 3`).run([])
      }).pipe(Effect.scoped, Effect.runSync)
      assert.deepStrictEqual(salvage(file).saved, [{ ...plain(block), receivedAtMs: block.lastTimestampMs }])
    }
  })

  it("saves the rows of the first release", async () => {
    const file = freshFile()
    const db = new Database(file)
    db.exec(`PRAGMA page_size = ${pageBytes}; ${migrations[0]}`)
    const stored = blocks.slice(0, 8)
    for (const block of stored) {
      db.prepare("INSERT INTO block VALUES (NULL, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run([
        block.installationId,
        block.model,
        block.version,
        nowMs,
        block.firstTimestampMs,
        block.lastTimestampMs,
        block.records,
        block.samples,
        block.sha256,
        block.gzippedLines
      ])
    }
    db.close()
    const { saved } = salvage(file)
    assert.strictEqual(saved.length, 8)
    assertGenuine(saved, stored)
  })

  it("saves waiting and quarantined blocks of a journal, and leaves out the digests of drained ones", () => {
    const file = freshFile()
    Effect.gen(function* () {
      const db = yield* openSqlite(file)
      const insert = prepareInsert(db)
      for (const block of blocks.slice(0, 3)) insert(block, nowMs)
      db.exec(`UPDATE block SET gzipped_lines = x'', drained_at_ms = ${nowMs} WHERE id = 1;
        UPDATE block SET quarantined_because = 'cannot parse it' WHERE id = 2`)
    }).pipe(Effect.scoped, Effect.runSync)
    const { damagedRows, saved } = salvage(file)
    assert.deepStrictEqual([saved.map(keyOf).sort(), damagedRows], [blocks.slice(1, 3).map(keyOf).sort(), 0])
    assertGenuine(saved, blocks)
  })
})
