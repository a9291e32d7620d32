/** Bodies that are a thousand times as long once they are inflated, at the built program. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { finished } from "node:stream/promises"
import { constants, createBrotliCompress, createGzip } from "node:zlib"
import { afterAll, assert, it } from "@effect/vitest"
import { recentPayload } from "../support/payloads.js"
import { startServer } from "../support/program.js"
import { submit, testToken } from "../support/testServer.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-bombs-"))
afterAll(() => rmSync(directory, { recursive: true }))

const residentMb = (pid: number, what: "VmRSS" | "VmHWM") => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  return Number(new RegExp(`${what}:\\s+(\\d+) kB`).exec(status)![1]) / 1024
}

const zeros = Buffer.alloc(1024 * 1024)
/** 1 GB of zeros, compressed. */
const bombOf = async (compressor: ReturnType<typeof createGzip>) => {
  const parts: Array<Buffer> = []
  compressor.on("data", (part: Buffer) => parts.push(part))
  for (let i = 0; i < 1024; i++) {
    if (!compressor.write(zeros)) await new Promise((resolve) => compressor.once("drain", resolve))
  }
  const ended = finished(compressor)
  compressor.end()
  await ended
  return Buffer.concat(parts)
}

it("refuses bombs of 1 GB with flat memory, and goes on", async () => {
  const server = await startServer({ DATA_DIR: directory, AUTH_TOKEN: testToken })
  try {
    const bombs = {
      gzip: await bombOf(createGzip({ level: 9 })),
      br: await bombOf(createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }))
    }
    const authorization = `Bearer ${testToken}`
    /** Four at once. */
    const send = async (rounds: number) => {
      for (let round = 0; round < rounds; round++) {
        const answers = await Promise.all(
          (["gzip", "br", "gzip", "br"] as const).map((coding) =>
            submit(server.url, bombs[coding], { authorization, "content-encoding": coding })
          )
        )
        assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([413]))
      }
      return residentMb(server.pid, "VmHWM")
    }
    const beforeMb = residentMb(server.pid, "VmRSS")
    const warmMb = await send(5)
    const afterMb = await send(10)
    const [before, warm, after] = [beforeMb, warmMb, afterMb].map((mb) => mb.toFixed())
    process.stdout.write(
      `bombs of 1 GB (${bombs.gzip.length} bytes of gzip, ${bombs.br.length} of brotli): ${before} MB before, at most ${warm} MB for the first 20, ${after} MB for the next 40\n`
    )
    // Four bodies of 16 MiB, and what waits to be collected.
    assert.isBelow(warmMb - beforeMb, 250)
    assert.isBelow(afterMb - warmMb, 100)
    assert.strictEqual((await submit(server.url, recentPayload("flat3"), { authorization })).status, 200)
  } finally {
    await server.stop("SIGKILL")
  }
})
