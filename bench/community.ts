/** Do the community's addresses answer at once with 10,000 installations in the store? */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import Database from "libsql"
import { startServer, token } from "./server.js"
import { type Result, show, spread } from "./support.js"

const installations = 10_000
const asked = 200
const idOf = (n: number) => `3f2b8c1e-9a47-4d0e-8b65-${String(n).padStart(12, "0")}`

/** A block of an hour per home, straight into the file that a server has made. */
const fill = (file: string) => {
  const db = new Database(file)
  const insert = db.prepare(
    `INSERT INTO block (installation_id, model, version, received_at_ms, first_timestamp_ms, last_timestamp_ms, records,
     samples, sha256, gzipped_lines, activity_at_ms) VALUES (?, 'AERO_SLM', '1', ?, ?, ?, 60, 180, ?, ?, ?)`
  )
  const nowMs = Date.now()
  db.exec("BEGIN")
  for (let n = 0; n < installations; n++) {
    const id = idOf(n)
    const tags = `heatpump_metrics,installation_id=${id},model=AERO_SLM,version=1`
    const lines = Array.from(
      { length: 60 },
      (_, i) =>
        `${tags} temp_outside=${i % 9},power_current=${1 + (n % 3)},power_thermal=6 ${nowMs - (i + 1) * 60_000}\n`
    )
    insert.run([id, nowMs, nowMs - 3_600_000, nowMs - 60_000, Buffer.from(id), gzipSync(lines.join("")), nowMs])
  }
  db.exec("COMMIT")
  db.close()
}

export const run = async (): Promise<Result> => {
  const directory = mkdtempSync(join(tmpdir(), "telemetry-bench-"))
  const stop = async (child: Awaited<ReturnType<typeof startServer>>["child"]) => {
    child.kill("SIGTERM")
    await new Promise((resolve) => child.once("exit", resolve))
  }
  await stop((await startServer({ DATA_DIR: directory })).child)
  fill(join(directory, "telemetry.sqlite"))
  const { child, port } = await startServer({ DATA_DIR: directory })
  const time = async (path: string) => {
    const start = performance.now()
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${token}` } })
    await response.arrayBuffer()
    return performance.now() - start
  }
  const rows: Array<Readonly<Record<string, string | number>>> = []
  const paths: Readonly<Record<string, (i: number) => string>> = {
    "/health, the floor": () => "/health",
    "pool/status": () => "/api/v1/pool/status",
    "model/check": (i) => `/api/v1/model/check?installation_id=${idOf(i)}`,
    "model/download (none yet)": (i) => `/api/v1/model/download?installation_id=${idOf(i)}`,
    models: () => "/api/v1/models",
    "community/averages": () => "/api/v1/community/averages?model=AERO_SLM&metrics=cop"
  }
  for (const [side, path] of Object.entries(paths)) {
    const first = await time(path(0))
    const values: Array<number> = []
    for (let i = 0; i < asked; i++) values.push(await time(path(i)))
    rows.push({ side, "first, ms": first.toFixed(1), "ms (p10 to p90)": show(spread(values)) })
  }
  await stop(child)
  rmSync(directory, { recursive: true })
  return { question: `The community's addresses with ${installations} installations`, target: "below 20 ms", rows }
}
