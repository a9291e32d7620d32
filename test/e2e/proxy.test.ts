import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { request as httpRequest } from "node:http"
import { request as httpsRequest } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { recordedBody, samplesIn } from "../support/payloads.js"
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
        `daemon off; user root; pid ${directory}/pid;  error_log ${directory}/start.log; events {} http { access_log ${directory}/access.log; ${temporary} ${site} }`
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
const post = (url: string, body: Buffer, localAddress: string): Promise<{ status: number | undefined; text: string }> =>
  new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${testToken}`,
      "content-type": "application/json",
      "content-length": body.length,
      "x-forwarded-for": "198.51.100.7",
      forwarded: "for=198.51.100.7"
    }
    const options = { method: "POST", headers, rejectUnauthorized: false, localAddress }
    const send = url.startsWith("https:") ? httpsRequest : httpRequest
    const sent = send(`${url}/api/v1/submit`, options, async (response) => {
      let text = ""
      for await (const chunk of response) text += chunk
      resolve({ status: response.statusCode, text })
    })
    sent.on("error", reject)
    sent.end(body)
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "telemetry-proxy-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

it.scopedLive.skipIf(!hasVictoriaMetrics || !hasNginx)(
  "docs/nginx.conf: the real client's bytes by HTTPS through two collectors into one database, with its masked address",
  () =>
    Effect.gen(function* () {
      // The recorded bodies keep their time for ever.
      const database = yield* runningDatabase(["-retentionPeriod=100y"])
      const collector = Effect.flatMap(temporary, (dataDir) =>
        serverProcess({
          DATA_DIR: dataDir,
          VM_WRITE_URL: database.url,
          VM_SETTLE_SECONDS: "0",
          RETENTION_DAYS: "36500",
          TRUSTED_PROXIES: "127.0.0.1"
        })
      )
      const collectors = [yield* collector, yield* collector]
      const nginx = yield* startNginx(collectors.map(({ url }) => url))

      const redirect = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${nginx.http}/api/v1/submit`, { method: "POST", redirect: "manual" })
      )
      assert.strictEqual(redirect.status, 308)
      assert.match(redirect.headers.get("location") ?? "", /^https:.*\/api\/v1\/submit$/)

      const expected = new Map<string, number>()
      for (const name of ["flat500", "nested500"] as const) {
        const body = recordedBody(name)
        const { installation_id } = JSON.parse(body.toString())
        for (const [key, value] of samplesIn(body.toString(), installation_id)) expected.set(key, value)
        // In turn, so that each collector has it once.
        for (const _ of collectors) {
          const { status, text } = yield* Effect.promise(() => post(nginx.url, body, "127.9.8.7"))
          assert.strictEqual(status, 200, text)
          assert.include(text, '"processed":500,"rejected":0')
          assert.include(text, '"duplicate":false')
        }
      }
      yield* Effect.iterate(new Map<string, number>(), {
        while: (found: ReadonlyMap<string, number>) => found.size < expected.size,
        body: () =>
          Effect.zipRight(
            Effect.sleep("200 millis"),
            Effect.promise(() => database.samples('{__name__=~"heatpump_metrics_.*"}'))
          )
      }).pipe(
        Effect.tap((found) =>
          Effect.sync(() => {
            assert.strictEqual(found.size, expected.size)
            for (const [key, value] of expected) {
              const error = Math.abs((found.get(key) ?? Number.NaN) - value)
              if (!(error <= Math.abs(value) * 1e-12)) assert.fail(`${key}: ${found.get(key)}, not ${value}`)
            }
          })
        ),
        Effect.timeout("60 seconds")
      )

      // Past the proxy nobody is believed.
      const { status } = yield* Effect.promise(() => post(collectors[0]!.url, recordedBody("flat3"), "127.5.5.5"))
      assert.strictEqual(status, 200)
      assert.include(collectors[0]!.log(), '"client":"127.5.xxx.xxx"')
      for (const { log } of collectors) {
        assert.include(log(), '"client":"127.9.xxx.xxx"')
        assert.notMatch(log(), /198\.51|127\.9\.8|127\.5\.5/)
      }
      assert.deepStrictEqual(
        ["error.log", "start.log", "access.log"]
          .map((file) => readFileSync(join(nginx.directory, file), "utf8"))
          .join(""),
        ""
      )
    })
)
