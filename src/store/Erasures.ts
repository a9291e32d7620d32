/**
 * Which installations have been erased, so that nothing of them is stored again: neither what a logger still sends, nor
 * what a restored backup brings back.
 *
 * One text file beside the store's, and not a table in it: whoever restores the store from a backup, or repairs it,
 * must not lose what was erased since. The first line is `salt <64 hex digits>`; each other one is the HMAC-SHA256 of
 * an installation id with that salt, in hex, and the time of its erasure. The ids have 122 random bits, so the digests
 * cannot be turned back.
 *
 * Invariants:
 * - `add` returns once the whole line is on disk; only then is anything erased. When it fails, the file is as it was.
 *   Lines are only ever added.
 * - A last line without its end was never acted upon, and is taken away when the file is opened. Any other line that is
 *   not as above makes opening fail: a digest that is lost would bring a home's data back.
 */
import { createHmac, randomBytes } from "node:crypto"
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { Clock, Effect } from "effect"
import type { InstallationId } from "../domain/InstallationId.js"
import { Damaged, DatabaseUnusable } from "./Sqlite.js"
import { StoreError } from "./Store.js"

interface Erasures {
  readonly has: (installation: string) => boolean
  readonly add: (installation: InstallationId) => Effect.Effect<void, StoreError>
}

const saltLine = /^salt ([0-9a-f]{64})$/
const erasureLine = /^([0-9a-f]{64}) \d{4}-\d\d-\d\dT[\d:.]+Z$/

const read = (file: string): { readonly salt: Buffer | undefined; readonly digests: Set<string> } => {
  if (!existsSync(file)) return { salt: undefined, digests: new Set() }
  const bytes = readFileSync(file)
  const end = bytes.lastIndexOf("\n") + 1
  if (end < bytes.length) truncateSync(file, end)
  const [first, ...lines] = bytes.toString("latin1", 0, end).split("\n").slice(0, -1)
  if (first === undefined) return { salt: undefined, digests: new Set() }
  const digests = lines.map((line) => erasureLine.exec(line)?.[1])
  const salt = saltLine.exec(first)?.[1]
  if (salt === undefined || digests.includes(undefined)) {
    throw new Damaged("it is damaged, and what it lists must not come back: restore its newest copy")
  }
  return { salt: Buffer.from(salt, "hex"), digests: new Set(digests.filter((digest) => digest !== undefined)) }
}

/** Appends and syncs all of it, or leaves the file as it was; the directory too, for a file without a line. */
const appendDurably = (file: string, text: string): void => {
  const descriptor = openSync(file, "a", 0o600)
  const { size } = fstatSync(descriptor)
  try {
    // Unlike writeSync it does not take half a line, all that a full disk had room for, for a success.
    writeFileSync(descriptor, text)
    fsyncSync(descriptor)
    if (size === 0) syncDirectory(dirname(file))
  } catch (error) {
    ftruncateSync(descriptor, size)
    throw error
  } finally {
    closeSync(descriptor)
  }
}

const syncDirectory = (directory: string): void => {
  const descriptor = openSync(directory, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** @param storeFile the file beside which the erasures are kept */
export const openErasures = Effect.fn("Erasures.open")(function* (storeFile: string) {
  const file = join(dirname(storeFile), "erasures.txt")
  const opened = yield* Effect.try({
    try: () => read(file),
    catch: (cause) => new DatabaseUnusable({ file, cause })
  })
  const { digests } = opened
  let { salt } = opened
  const digestOf = (salt: Buffer, installation: string) => createHmac("sha256", salt).update(installation).digest("hex")
  const has = (installation: string) => salt !== undefined && digests.has(digestOf(salt, installation))

  const add = Effect.fn("Erasures.add")(function* (installation: InstallationId) {
    if (has(installation)) return
    const nowMs = yield* Clock.currentTimeMillis
    yield* Effect.try({
      try: () => {
        const key = salt ?? randomBytes(32)
        const line = `${digestOf(key, installation)} ${new Date(nowMs).toISOString()}\n`
        appendDurably(file, salt === undefined ? `salt ${key.toString("hex")}\n${line}` : line)
        salt = key
        digests.add(digestOf(key, installation))
      },
      catch: (cause) => new StoreError({ operation: "note an erasure", cause })
    })
  })
  const erasures: Erasures = { has, add }
  return erasures
})
