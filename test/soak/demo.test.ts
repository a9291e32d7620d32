/** `npm run demo`, with a fleet that takes a second. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, it } from "@effect/vitest"
import { runProgram, startServer } from "../support/program.js"
import { newHome, submit, testToken } from "../support/testServer.js"

const directory = mkdtempSync(join(tmpdir(), "telemetry-demo-"))
const demos: Array<ChildProcess> = []
// Whatever has failed, none goes on serving; its own server ends with it.
afterAll(async () => {
  for (const demo of demos.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
    demo.kill("SIGTERM")
    await once(demo, "close")
  }
  rmSync(directory, { recursive: true })
})
const demoFile = fileURLToPath(new URL("../../dist/bench/demo.js", import.meta.url))

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  if (address === null || typeof address === "string") throw new Error("no port")
  return String(address.port)
}

/** Until it serves, or ends. */
const startDemo = async (port: string, ...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [demoFile, "--homes", "2", "--days", "1", "--port", port, ...args], {
    // A store of the operator's, which the demo must not find.
    env: { PATH: process.env.PATH ?? "", DATA_DIR: "/nowhere", VM_WRITE_URL: "http://127.0.0.1:1" },
    cwd: directory
  })
  demos.push(child)
  let said = ""
  const ended = once(child, "close").then(([code]): number => code)
  const serves = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text
        if (said.includes("Ctrl-C stops")) resolve()
      })
    }
  })
  await Promise.race([serves, ended])
  return {
    said: () => said,
    ended,
    stop: (signal: NodeJS.Signals = "SIGINT") => {
      child.kill(signal)
      return ended
    }
  }
}

it("fills a store of its own, serves it again as it is, and keeps out of others", async () => {
  const port = await freePort()
  const dataDir = join(directory, "data-demo")
  const first = await startDemo(port)
  assert.match(first.said(), /2 of 2 homes, 2,8\d\d records stored/)
  const status = await runProgram(["status", "--url", `http://127.0.0.1:${port}`, "--data-dir", dataDir])
  assert.match(status.stdout, /^Stored +2,8\d\d records/m)
  assert.strictEqual(await first.stop(), 0, first.said())

  const again = await startDemo(port)
  assert.notInclude(again.said(), "records stored")
  const same = await runProgram(["status", "--url", `http://127.0.0.1:${port}`, "--data-dir", dataDir])
  assert.strictEqual(/^Stored.*$/m.exec(same.stdout)?.[0], /^Stored.*$/m.exec(status.stdout)?.[0])
  const beside = await startDemo(port, "--data-dir", join(directory, "beside"))
  assert.strictEqual(await beside.ended, 1)
  assert.match(beside.said(), /error: something answers at http/)
  assert.strictEqual(await again.stop("SIGHUP"), 0)
  assert.strictEqual((await runProgram(["healthcheck", "--url", `http://127.0.0.1:${port}`])).code, 4)

  const real = join(directory, "real")
  const server = await startServer({ DATA_DIR: real })
  assert.strictEqual(
    (await submit(server.url, newHome([{ timestamp: Date.now() / 1000, temp_outside: 5 }]))).status,
    200
  )
  const remote = await startDemo("1", "--url", server.url, "--token", testToken)
  assert.strictEqual(await remote.ended, 0, remote.said())
  assert.match(remote.said(), /2 homes, 2,8\d\d records, are at/)
  await server.stop("SIGTERM")
  const refused = await startDemo(await freePort(), "--data-dir", real)
  assert.strictEqual(await refused.ended, 1)
  assert.include(refused.said(), "holds other data")
  assert.isFalse(existsSync("/nowhere"))
})
