/**
 * The image as `docker-compose.yml` runs it, by podman: built for real, read-only, without capabilities, without root, and
 * with nothing to write to but its volumes. Its base comes from a registry, or is there already under the name that the
 * Dockerfile gives it.
 */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { dayMs } from "../support/fleet.js"
import { pooledFleet } from "../support/pooledFleet.js"
import { hasVictoriaMetrics, requirePart } from "../support/realParts.js"
import { submit, testToken } from "../support/testServer.js"
import { type Database, freePort, runningDatabase } from "../support/victoriaMetrics.js"

const run = promisify(execFile)
const root = fileURLToPath(new URL("../../", import.meta.url))
const podman = (...args: ReadonlyArray<string>) =>
  run("podman", ["--runtime", "runc", ...args], { cwd: root, maxBuffer: 64 * 1024 * 1024 })
const failing = (...args: ReadonlyArray<string>) =>
  podman(...args).then(
    () => {
      throw new Error(`podman ${args.join(" ")} should have failed`)
    },
    ({ code, stderr }: { readonly code: number; readonly stderr: string }) => ({ code, stderr })
  )

const hasPodman = requirePart(
  await Promise.all([run("podman", ["--version"]), run("runc", ["--version"])]).then(
    () => true,
    () => false
  ),
  "podman",
  "apt-get install podman runc"
)

/** What an engine inside another may not raise. */
const bounds = ["--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]

/** An engine that cannot start even the bare base says nothing about the image, so CI does not fail for it either. */
const base = /^ARG NODE_IMAGE=(.*)$/m.exec(readFileSync(`${root}Dockerfile`, "utf8"))![1]!
const startsContainers =
  hasPodman &&
  (await podman("run", "--rm", "--pull=never", ...bounds, base, "true").then(
    () => true,
    ({ stderr }: { readonly stderr?: string }) => {
      process.stdout.write(`NOT TESTED: podman cannot start ${base}: ${String(stderr).slice(-500)}\n`)
      return false
    }
  ))

const image = "localhost/heatpump-telemetry:test"
const names = { api: "telemetry-test-api", trainer: "telemetry-test-trainer" }
const volumes = ["telemetry-test-data", "telemetry-test-models"]
const clean = async () => {
  await podman("rm", "--force", "--ignore", ...Object.values(names))
  await podman("volume", "rm", "--force", ...volumes)
}

/** What `docker-compose.yml` says of every service. */
const confined = [
  ...["--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
  ...bounds
]
const environment = (values: Readonly<Record<string, string>>) =>
  Object.entries(values).flatMap(([name, value]) => ["--env", `${name}=${value}`])

const decodeHistory = Schema.decodeUnknownSync(
  Schema.parseJson(
    Schema.Array(
      Schema.Struct({ size: Schema.optionalWith(Schema.Number, { default: () => 0 }), CreatedBy: Schema.String })
    )
  )
)

const fleet = () =>
  pooledFleet({
    homes: 6,
    model: "AERO SLM",
    startMs: Date.now() - 11 * dayMs,
    days: 10,
    seed: 77,
    cadenceMinutes: 10
  }).bodies

describe.skipIf(!startsContainers || !hasVictoriaMetrics)("the image", () => {
  beforeAll(async () => {
    await clean()
    await podman("build", "--network", "host", "--format", "docker", "--tag", image, ".")
  }, 900_000)
  afterAll(clean, 60_000)

  it("is its base and as much as docs/deployment.md says", async () => {
    const { stdout } = await podman("history", "--format", "json", image)
    const layers = decodeHistory(stdout)
    const ours = layers.slice(0, layers.findIndex(({ CreatedBy }) => CreatedBy.includes("LABEL")) + 1)
    assert.isAbove(ours.length, 5)
    const megabytes = ours.reduce((sum, { size }) => sum + size, 0) / 1e6
    const [, said] = /exact release in the Dockerfile\) and (\d+) MB/.exec(
      readFileSync(new URL("../../docs/deployment.md", import.meta.url), "utf8")
    )!
    assert.closeTo(megabytes, Number(said), 2)
  })

  it.scopedLive("serves, answers, trains and stops, confined as the compose file does it", () =>
    Effect.gen(function* () {
      const database = yield* runningDatabase()
      yield* Effect.promise(() => serveTrainAndStop(database))
    })
  )
})

const serveTrainAndStop = async (database: Database) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const { stdout: key } = await podman("run", "--rm", ...confined, image, "keygen")
  const [, encryptionKey] = /^TELEMETRY_ENCRYPTION_KEY=(\S+)$/m.exec(key)!
  const shared = {
    HOST: "127.0.0.1",
    PORT: String(port),
    AUTH_TOKEN: testToken,
    ADMIN_TOKEN: "an-admin-token-of-the-tests-456",
    MODEL_DIR: "/models",
    VM_WRITE_URL: database.url,
    VM_SETTLE_SECONDS: "0"
  }
  const models = ["--volume", `${volumes[1]}:/models`]
  const data = ["--volume", `${volumes[0]}:/data`]
  await podman("run", "--detach", "--name", names.api, ...confined, ...data, ...models, ...environment(shared), image)
  const exec = (...command: ReadonlyArray<string>) => podman("exec", names.api, ...command)

  // As an engine does it, by the command of HEALTHCHECK.
  for (let attempt = 0; ; attempt++) {
    const isHealthy = await podman("healthcheck", "run", names.api).then(
      () => true,
      () => false
    )
    if (isHealthy) break
    assert.isBelow(attempt, 60, "never healthy")
    await new Promise((resolve) => setTimeout(resolve, 500))
  }

  assert.strictEqual((await exec("id", "-u")).stdout.trim(), "1000")
  const { stdout: processStatus } = await exec("cat", "/proc/1/status")
  assert.match(processStatus, /^CapEff:\s0{16}$/m)
  assert.match(processStatus, /^CapBnd:\s0{16}$/m)
  assert.match(processStatus, /^NoNewPrivs:\s1$/m)
  for (const file of ["/app/x", "/tmp/x", "/usr/local/bin/telemetry"]) {
    assert.match((await failing("exec", names.api, "sh", "-c", `echo > ${file}`)).stderr, /Read-only file system/)
  }

  for (const body of fleet()) assert.strictEqual((await submit(url, body)).status, 200)
  const { stdout: status } = await exec("telemetry", "status")
  assert.match(status, /^Server {11}online/m)
  assert.match(status, /^Installations {4}6 active/m)
  const { stdout: findings } = await exec("telemetry", "doctor")
  assert.match(findings, /^ok {7}database {8}VictoriaMetrics/m)
  assert.notInclude(findings, "PROBLEM")
  while (!(await exec("telemetry", "status", "--json")).stdout.includes('"waiting_blocks": 0')) {
    await new Promise((resolve) => setTimeout(resolve, 500))
  }

  // A small fleet's gate is not the point here.
  const { stdout: trained } = await podman(
    ...["run", "--rm", "--name", names.trainer, ...confined, "--tmpfs", "/tmp:size=256m", ...models],
    ...environment({ ...shared, TELEMETRY_ENCRYPTION_KEY: encryptionKey!, MIN_DATA_POINTS: "1000" }),
    ...[image, "train", "--all", "--publish", "--no-gate"]
  )
  assert.match(trained, /^AERO_SLM: published, /m)
  assert.match((await exec("telemetry", "status")).stdout, /^Model {12}AERO_SLM, /m)

  // Longer than the process's own grace, as long as the compose file's; a process that is killed after it has 137.
  await podman("stop", "--time", "15", names.api)
  const { stdout: exitCode } = await podman("inspect", "--format", "{{.State.ExitCode}}", names.api)
  assert.strictEqual(exitCode.trim(), "0")
  const { stderr: log } = await podman("logs", names.api)
  assert.match(log, /"message":"stopped"/)
}
