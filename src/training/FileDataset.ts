/**
 * Training data from a file in VictoriaMetrics' JSON-line format, plain or gzip, as `/api/v1/export` gives it.
 *
 * The series of an installation may be anywhere in it. So it is read once to learn where each line lies and whose it
 * is, and then installation by installation; memory holds the index and one installation. A compressed file is unpacked
 * into a temporary one meanwhile, which goes with the scope.
 */
import { type FileHandle, open } from "node:fs/promises"
import { FileSystem } from "@effect/platform"
import { Effect } from "effect"
import { countModels, type Dataset, DatasetUnreadable, isSameModel } from "./Dataset.js"
import { type ExportedLine, FileInvalid, indexExport } from "./ExportIndex.js"
import { readExportLine } from "./ExportLine.js"
import { HeatpumpJoiner } from "./HeatpumpJoiner.js"

const isGzip = async (file: string): Promise<boolean> => {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer.readUInt16BE() === 0x1f8b
  } finally {
    await handle.close()
  }
}

const readLine = async (handle: FileHandle, line: ExportedLine) => {
  const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(line.bytes), 0, line.bytes, line.start)
  const series = bytesRead === line.bytes ? readExportLine(buffer.toString("latin1")) : undefined
  if (series === undefined) throw new FileInvalid({ message: `line ${line.number} is not JSON of an export` })
  return series
}

const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  if ("code" in cause && cause.code === "Z_BUF_ERROR") return "it is cut off; export it again"
  if ("code" in cause && cause.code === "ENOENT") return "there is no such file"
  return cause.message
}

export const openFileDataset = Effect.fn("FileDataset.open")(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const unreadable = (cause: unknown) => new DatasetUnreadable({ source: file, reason: reasonOf(cause), cause })
  const attempt = <A>(body: (signal: AbortSignal) => Promise<A>) => Effect.tryPromise({ try: body, catch: unreadable })

  const unpacked = (yield* attempt(() => isGzip(file)))
    ? `${yield* Effect.mapError(fs.makeTempDirectoryScoped({ prefix: "telemetry-train-" }), unreadable)}/export.jsonl`
    : undefined
  const { lines, newestMs } = yield* attempt((signal) => indexExport(file, unpacked, signal))
  if (lines.length === 0) return yield* unreadable(new FileInvalid({ message: "it holds no series of heat pumps" }))
  const handle = yield* Effect.acquireRelease(
    attempt(() => open(unpacked ?? file)),
    (handle) => Effect.promise(() => handle.close())
  )
  const byInstallation = new Map<string, Array<ExportedLine>>()
  for (const line of lines) {
    const known = byInstallation.get(line.installationId)
    if (known === undefined) byInstallation.set(line.installationId, [line])
    else known.push(line)
  }

  const dataset: Dataset = {
    source: file,
    newestMs: Number.isFinite(newestMs) ? newestMs : undefined,
    models: Effect.sync(() => countModels(lines.map((line) => [line.model, line.installationId]))),
    installations: (model) =>
      Effect.sync(() =>
        [...byInstallation]
          .filter(([, lines]) => lines.some((line) => isSameModel(line.model, model)))
          .map(([installationId]) => installationId)
          .sort()
      ),
    load: (installationId, model, range, sensors) =>
      attempt(async (signal) => {
        const joiner = new HeatpumpJoiner(range)
        for (const line of byInstallation.get(installationId) ?? []) {
          if (!sensors.has(line.sensor) || !isSameModel(line.model, model)) continue
          signal.throwIfAborted()
          const { timestamps, values } = await readLine(handle, line)
          joiner.of(line.heatpumpId).add(line.sensor, timestamps, values)
        }
        return joiner.finish(installationId)
      })
  }
  return dataset
})
