import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { settings } from "../../src/Settings.js"
import { recentPayload } from "../support/payloads.js"
import { serverProcess } from "../support/program.js"
import { hasVictoriaMetrics, requirePart } from "../support/realParts.js"
import { testToken } from "../support/testServer.js"
import { freePort, runningDatabase } from "../support/victoriaMetrics.js"

const run = promisify(execFile)
const hasNginx = requirePart(
  await run("nginx", ["-v"]).then(
    () => true,
    () => false
  ),
  "nginx",
  "apt-get install nginx"
)

/** `docs/nginx.conf` with this test's ports, files and collectors in place of those of a server. */
const startNginx = (collectors: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = mkdtempSync(join(tmpdir(), "telemetry-nginx-"))
      const [http, https] = [await freePort(), await freePort()]
      const certificate = join(directory, "certificate.pem")
      const key = join(directory, "key.pem")
      const subject = ["-subj", "/CN=collector.example.org", "-days", "2"]
      await run("openssl", [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        ...subject,
        "-keyout",
        key,
        "-out",
        certificate
      ])
      const site = readFileSync(new URL("../../docs/nginx.conf", import.meta.url), "utf8")
        .replaceAll(/^ *listen \[::\].*$/gm, "")
        .replace("listen 80;", `listen 127.0.0.1:${http};`)
        .replace("listen 443 ssl", `listen 127.0.0.1:${https} ssl`)
        .replace("server 127.0.0.1:8000;", collectors.map((url) => `server ${new URL(url).host};`).join(" "))
        .replaceAll(/\/etc\/letsencrypt\/\S+\/fullchain\.pem/g, certificate)
        .replaceAll(/\/etc\/letsencrypt\/\S+\/privkey\.pem/g, key)
        .replace("/var/log/nginx/telemetry.log", join(directory, "error.log"))
      const file = join(directory, "nginx.conf")
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map((name) => `${name}_temp_path ${directory}/${name};`)
        .join(" ")
      writeFileSync(
        file,
        `daemon off; user root; pid ${directory}/pid; error_log ${directory}/start.log; events {} http { ${temporary} ${site} }`
      )
      const child = spawn("nginx", ["-c", file, "-p", directory], { stdio: "ignore" })
      const url = `https://127.0.0.1:${https}`
      for (let attempt = 0; attempt < 100; attempt++) {
        const isUp = await fetch(`http://127.0.0.1:${http}/`, { redirect: "manual" }).then(
          () => true,
          () => false
        )
        if (isUp) return { child, directory, http, url }
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      throw new Error(`nginx does not start: ${readFileSync(join(directory, "start.log"), "utf8")}`)
    }),
    ({ child, directory }) =>
      Effect.promise(async () => {
        const exited = once(child, "exit")
        child.kill("SIGTERM")
        await exited
        rmSync(directory, { recursive: true })
      })
  )

/** A POST from an address of its own, which also claims to be somebody else. */
const post = (url: string, body: string): Promise<{ status: number | undefined; text: string }> =>
  new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${testToken}`,
      "content-type": "application/json",
      "x-forwarded-for": "198.51.100.7",
      forwarded: "for=198.51.100.7"
    }
    const options = { method: "POST", headers, rejectUnauthorized: false, localAddress: "127.9.8.7" }
    const sent = request(`${url}/api/v1/submit`, options, async (response) => {
      let text = ""
      for await (const chunk of response) text += chunk
      resolve({ status: response.statusCode, text })
    })
    sent.on("error", reject)
    sent.end(body)
  })

it.scopedLive.skipIf(!hasVictoriaMetrics || !hasNginx)(
  "docs/nginx.conf: full batches by HTTPS through two collectors into one database, with the client's masked address",
  () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      const collector = Effect.gen(function* () {
        const dataDir = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-proxy-"))),
          (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
        )
        return yield* serverProcess({
          DATA_DIR: dataDir,
          VM_WRITE_URL: database.url,
          VM_SETTLE_SECONDS: "0",
          TRUSTED_PROXIES: "127.0.0.1"
        })
      })
      const collectors = [yield* collector, yield* collector]
      const nginx = yield* startNginx(collectors.map(({ url }) => url))

      const redirect = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${nginx.http}/api/v1/submit`, { method: "POST", redirect: "manual" })
      )
      assert.strictEqual(redirect.status, 308)
      assert.match(redirect.headers.get("location") ?? "", /^https:.*\/api\/v1\/submit$/)

      const payload = recentPayload("flat500")
      for (let n = 0; n < 4; n++) {
        const body = JSON.stringify({ ...payload, installation_id: `3f2b8c1e-9a47-4d0e-8b65-27c1f0a9d4e${n}` })
        const { status, text } = yield* Effect.promise(() => post(nginx.url, body))
        assert.strictEqual(status, 200, text)
        assert.include(text, '"processed":500,"rejected":0')
      }
      const isOfClient = settings.some(({ name }) => name === "TRUSTED_PROXIES")
      for (const { log } of collectors) {
        assert.include(log(), `"client":"127.${isOfClient ? 9 : 0}.xxx.xxx"`)
        assert.notInclude(log(), "198.51")
      }
      yield* Effect.iterate(0, {
        while: (homes) => homes < 4,
        body: () =>
          Effect.sleep("100 millis").pipe(
            Effect.zipRight(Effect.promise(() => database.samples("heatpump_metrics_temp_outside"))),
            Effect.map((samples) => new Set([...samples.keys()].map((key) => key.replace(/ \d+$/, ""))).size)
          )
      }).pipe(Effect.timeout("20 seconds"))
    })
)
