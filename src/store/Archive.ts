/**
 * A backup: a tar archive, and after its end one line `telemetry backup sha256 <hex>` with the digest of all that
 * stands before it. Any `tar` opens it and ignores that line (POSIX: two blocks of zeros end an archive).
 *
 *     manifest.json            format, release, time, names
 *     data/telemetry.sqlite    the store or journal
 *     data/auth-token          when the server made one
 *     data/erasures.txt        which homes have been erased
 *     models/…                 MODEL_DIR, links included
 *
 * Nothing of an archive is used before all of it has been read and its digest found right.
 */
import { createHash } from "node:crypto"
import {
  closeSync,
  createReadStream,
  createWriteStream,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync
} from "node:fs"
import { appendFile, rename, rm } from "node:fs/promises"
import { dirname, isAbsolute, join, normalize } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { Data, Effect, Schema } from "effect"
import { extract, pack } from "tar-stream"

class ArchiveError extends Data.TaggedError("ArchiveError")<{
  readonly file: string
  readonly operation: string
  readonly cause: unknown
}> {
  override get message() {
    const reason = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `cannot ${this.operation} ${this.file}: ${reason}`
  }
}

export type ArchiveEntry =
  | { readonly name: string; readonly file: string }
  | { readonly name: string; readonly content: string }
  | { readonly name: string; readonly link: string }

const trailerPattern = /^telemetry backup sha256 ([0-9a-f]{64})\n$/
const trailerBytes = "telemetry backup sha256 \n".length + 64

const attempt = <A>(file: string, operation: string, body: () => Promise<A>) =>
  Effect.tryPromise({ try: body, catch: (cause) => new ArchiveError({ file, operation, cause }) })

const sync = (file: string): void => {
  const descriptor = openSync(file, "r")
  fsyncSync(descriptor)
  closeSync(descriptor)
}

/** Digest of the first `bytes` of a file, all of it by default. */
const digestOf = async (file: string, bytes?: number): Promise<string> => {
  const hash = createHash("sha256")
  const end = bytes === undefined ? {} : { end: bytes - 1 }
  for await (const chunk of createReadStream(file, end)) hash.update(chunk)
  return hash.digest("hex")
}

/** Written beside its target, synced, and renamed: whoever finds it finds all of it. */
export const writeArchive = (target: string, entries: ReadonlyArray<ArchiveEntry>) =>
  attempt(target, "write", async () => {
    const writing = `${target}.writing`
    const archive = pack()
    const written = pipeline(archive, createWriteStream(writing, { mode: 0o600 }))
    const fill = async () => {
      for (const entry of entries) {
        if ("link" in entry) archive.entry({ name: entry.name, type: "symlink", linkname: entry.link })
        else if ("content" in entry) archive.entry({ name: entry.name, mode: 0o600 }, entry.content)
        else {
          const { mtime, size } = statSync(entry.file)
          const sink = archive.entry({ name: entry.name, mode: 0o600, mtime, size })
          // Not beyond the size that the header says, should it grow meanwhile.
          const source = size === 0 ? Readable.from([]) : createReadStream(entry.file, { end: size - 1 })
          await pipeline(source, sink)
        }
      }
      archive.finalize()
    }
    try {
      await Promise.all([written, fill()])
      await appendFile(writing, `telemetry backup sha256 ${await digestOf(writing)}\n`)
      sync(writing)
      await rename(writing, target)
      sync(dirname(target))
    } catch (error) {
      archive.destroy()
      await rm(writing, { force: true })
      throw error
    }
    return statSync(target).size
  })

/** Reads all of it; fails when a single bit is not as it was written. */
export const verifyArchive = (file: string) =>
  attempt(file, "restore", async () => {
    const { size } = statSync(file)
    const trailer = Buffer.alloc(trailerBytes)
    const descriptor = openSync(file, "r")
    readSync(descriptor, trailer, 0, trailerBytes, Math.max(0, size - trailerBytes))
    closeSync(descriptor)
    const expected = trailerPattern.exec(trailer.toString("latin1"))?.[1]
    if (expected === undefined)
      throw new Error("it does not end as a backup does: it is cut off, damaged or something else")
    if ((await digestOf(file, size - trailerBytes)) !== expected) {
      throw new Error("its SHA-256 is not what it was when it was written: it is damaged; use another copy")
    }
  })

const isWithin = (name: string): boolean =>
  !isAbsolute(name) && !normalize(name).startsWith("..") && /^(data|models)\/./.test(normalize(name))

/** Every entry below `directory`, which is empty. */
export const extractArchive = (file: string, directory: string) =>
  attempt(file, "restore", async () => {
    const archive = extract()
    const names: Array<string> = []
    const read = pipeline(createReadStream(file, { end: statSync(file).size - trailerBytes - 1 }), archive)
    // The loop below ends with the same error.
    read.catch(() => {})
    for await (const entry of archive) {
      const { linkname, name, type } = entry.header
      const target = join(directory, name)
      if (name !== "manifest.json" && !isWithin(name)) throw new Error(`it holds ${name}, which leads elsewhere`)
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
      if (type === "symlink") {
        const link = linkname ?? ""
        if (isAbsolute(link) || !isWithin(join(dirname(name), link))) throw new Error(`${name} leads elsewhere`)
        symlinkSync(link, target)
        entry.resume()
      } else {
        await pipeline(entry, createWriteStream(target, { mode: 0o600, flags: "wx" }))
        sync(target)
      }
      names.push(name)
    }
    await read
    return names
  })

const Manifest = Schema.Struct({
  format: Schema.Literal(1),
  version: Schema.String,
  created: Schema.String,
  names: Schema.Array(Schema.String)
})
/** Of an archive that has been extracted; fails for a format of another release. */
export const readManifest = (file: string) =>
  Effect.try({
    try: () => Schema.decodeUnknownSync(Schema.parseJson(Manifest))(readFileSync(file, "utf8")),
    catch: (cause) => new ArchiveError({ file, operation: "understand", cause })
  })
