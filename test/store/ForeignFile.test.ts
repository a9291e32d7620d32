import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "libsql"
import { openIntact } from "../../src/store/Intact.js"
import { migrations } from "../../src/store/migrations.js"
import { pageBytes } from "../../src/store/Sqlite.js"

const root = mkdtempSync(join(tmpdir(), "telemetry-foreign-"))
afterAll(() => rmSync(root, { recursive: true }))
let files = 0

describe("a file that is not ours is refused and left alone, damaged or not", () => {
  const make = (sql: string, from?: number) => {
    const file = join(root, `${files++}.sqlite`)
    const db = new Database(file)
    db.exec(`PRAGMA page_size = ${pageBytes}; CREATE TABLE t (x); ${sql}`)
    db.close()
    if (from !== undefined) {
      const bytes = readFileSync(file)
      bytes.fill(0xa5, from, from + 4096)
      writeFileSync(file, bytes)
    }
    return file
  }
  const newer = `PRAGMA application_id = ${0x4850544c}; PRAGMA user_version = ${migrations.length + 1}`
  const foreign = "PRAGMA application_id = 7"
  const cases: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["of a newer release", newer, /newer release/],
    ["of another program", foreign, /another program/]
  ]
  for (const [title, sql, reason] of cases) {
    for (const from of [undefined, 100, pageBytes]) {
      it.live(`${title}, ${from === undefined ? "whole" : `damaged from byte ${from}`}`, () =>
        Effect.gen(function* () {
          const file = make(sql, from)
          const before = readFileSync(file)
          const refusal = yield* openIntact(file).pipe(Effect.scoped, Effect.flip)
          assert.match(refusal.message, reason)
          assert.isTrue(readFileSync(file).equals(before))
        })
      )
    }
  }
})
