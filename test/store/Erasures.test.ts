import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { openErasures } from "../../src/store/Erasures.js"
import { freshDirectories } from "../support/directories.js"
import { canMount, fillDisk, smallDisk } from "../support/smallDisk.js"
import { installationOf } from "../support/storeHomes.js"

const freshDirectory = freshDirectories()
const openIn = (directory: string) => openErasures(join(directory, "telemetry.sqlite"))
const fileIn = (directory: string) => join(directory, "erasures.txt")
const [first, second, third] = [installationOf(1), installationOf(2), installationOf(3)]

describe("the list of erasures", () => {
  it.live("holds salted digests and times, one line each, for its owner alone; it is read at the next start", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const erasures = yield* openIn(directory)
      assert.isFalse(erasures.has(first))
      for (const id of [first, second, first]) yield* erasures.add(id)
      const text = readFileSync(fileIn(directory), "latin1")
      assert.match(text, /^salt [0-9a-f]{64}\n([0-9a-f]{64} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\n){2}$/)
      assert.notInclude(text, first)
      assert.strictEqual(statSync(fileIn(directory)).mode & 0o777, 0o600)
      for (const opened of [erasures, yield* openIn(directory)]) {
        assert.deepStrictEqual([first, second, third].map(opened.has), [true, true, false])
      }
      yield* (yield* openIn(directory)).add(third)
      assert.strictEqual(readFileSync(fileIn(directory), "latin1").slice(0, text.length), text)
      assert.isTrue((yield* openIn(directory)).has(third))
    })
  )

  it.live("is salted: the same home has another digest elsewhere", () =>
    Effect.gen(function* () {
      const texts = yield* Effect.forEach([freshDirectory(), freshDirectory()], (directory) =>
        Effect.gen(function* () {
          yield* (yield* openIn(directory)).add(first)
          return readFileSync(fileIn(directory), "latin1").split(/[ \n]/)
        })
      )
      assert.notStrictEqual(texts[0]![1], texts[1]![1])
      assert.notStrictEqual(texts[0]![2], texts[1]![2])
    })
  )

  it.live("loses a last line without its end, which was never acted upon, and nothing else", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const erasures = yield* openIn(directory)
      yield* erasures.add(first)
      const whole = readFileSync(fileIn(directory))
      yield* erasures.add(second)
      const both = readFileSync(fileIn(directory))
      const salt = Buffer.from(whole.subarray(0, whole.indexOf("\n") + 1))
      for (const [length, kept, known] of [
        [both.length, both, [true, true]],
        [both.length - 1, whole, [true, false]],
        [whole.length + 1, whole, [true, false]],
        [whole.length - 1, salt, [false, false]],
        [salt.length, salt, [false, false]],
        [salt.length - 1, Buffer.alloc(0), [false, false]],
        [0, Buffer.alloc(0), [false, false]]
      ] as const) {
        writeFileSync(fileIn(directory), both.subarray(0, length))
        const opened = yield* openIn(directory)
        assert.deepStrictEqual([first, second].map(opened.has), [...known], `${length}`)
        assert.deepStrictEqual(readFileSync(fileIn(directory)), Buffer.from(kept))
        yield* opened.add(third)
        const again = yield* openIn(directory)
        assert.deepStrictEqual([first, second, third].map(again.has), [...known, true])
      }
    })
  )

  it.live("is refused with a line that is none: a lost digest would bring a home's data back", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      yield* (yield* openIn(directory)).add(first)
      const [salt, line] = readFileSync(fileIn(directory), "latin1").split("\n")
      if (salt === undefined || line === undefined) throw new Error("two lines were written")
      for (const lines of [
        [line],
        [`${salt}0`, line],
        [` ${salt}`, line],
        [salt, "", line],
        [salt, `${line} `],
        [salt, ` ${line}`],
        [salt, line.slice(1)],
        [salt, line.replace("Z", "")],
        [salt, line, salt],
        [salt, line.slice(0, 64)]
      ]) {
        writeFileSync(fileIn(directory), `${lines.join("\n")}\n`)
        const error = yield* Effect.flip(openIn(directory))
        assert.strictEqual(error.file, fileIn(directory))
        assert.match(
          error.message,
          /erasures\.txt: it is damaged, and what it lists must not come back: restore its newest/
        )
      }
    })
  )

  it.live("notes nothing when it cannot write, and says so", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const erasures = yield* openIn(directory)
      rmSync(directory, { recursive: true })
      const error = yield* Effect.flip(erasures.add(first))
      assert.strictEqual(error.message, "the store failed to note an erasure")
      assert.isFalse(erasures.has(first))
      mkdirSync(directory)
      yield* erasures.add(first)
      assert.isTrue(erasures.has(first))
    })
  )

  it.scopedLive.runIf(canMount)("on a full disk an erasure fails whole: half a line is neither kept nor believed", () =>
    Effect.gen(function* () {
      const directory = yield* smallDisk(freshDirectory())
      const erasures = yield* openIn(directory)
      // Until the next line would need another page of the disk.
      let known = 0
      while (known === 0 || statSync(fileIn(directory)).size % 4096 < 4096 - lineBytes) {
        yield* erasures.add(installationOf(known++))
      }
      const ballast = join(directory, "ballast")
      fillDisk(ballast)
      const failures = yield* Effect.forEach([known, known + 1], (home) =>
        Effect.flip(erasures.add(installationOf(home)))
      )
      for (const { cause, operation } of failures) {
        assert.strictEqual(operation, "note an erasure")
        assert.include(String(cause), "ENOSPC")
      }
      assert.isFalse(erasures.has(installationOf(known)))
      rmSync(ballast)
      yield* erasures.add(installationOf(known + 1))
      const again = yield* openIn(directory)
      const homes = Array.from({ length: known + 2 }, (_, home) => home)
      assert.deepStrictEqual(
        homes.filter((home) => !again.has(installationOf(home))),
        [known]
      )
    })
  )
})

/** A digest, a time, and what separates them. */
const lineBytes = 64 + 1 + 24 + 1
