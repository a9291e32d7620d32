/** The compose files say what an operator relies on; what they would do is in `soak/image.test.ts` and `e2e/proxy.test.ts`. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, beforeAll, it } from "@effect/vitest"
import { Schema } from "effect"
import { settings } from "../../src/Settings.js"
import { runProgram } from "../support/program.js"
import { describeWithPython, runPython } from "../support/python.js"
import { hasVictoriaMetrics, victoriaMetricsBinary } from "../support/realParts.js"

const run = promisify(execFile)
const root = fileURLToPath(new URL("../../", import.meta.url))
const files = ["docker-compose.yml", "docker-compose.cluster.yml"]

const Text = Schema.Union(Schema.String, Schema.Number)
const Service = Schema.Struct({
  image: Schema.optional(Schema.String),
  restart: Schema.optional(Schema.String),
  read_only: Schema.optional(Schema.Boolean),
  cap_drop: Schema.optional(Schema.Array(Schema.String)),
  cap_add: Schema.optional(Schema.Array(Schema.String)),
  security_opt: Schema.optional(Schema.Array(Schema.String)),
  privileged: Schema.optional(Schema.Boolean),
  logging: Schema.optional(
    Schema.Struct({ driver: Schema.String, options: Schema.Record({ key: Schema.String, value: Schema.String }) })
  ),
  environment: Schema.optional(Schema.Record({ key: Schema.String, value: Text })),
  command: Schema.optional(Schema.Array(Schema.String)),
  ports: Schema.optional(Schema.Array(Schema.String)),
  volumes: Schema.optional(Schema.Array(Schema.String)),
  networks: Schema.optional(Schema.Unknown),
  healthcheck: Schema.optional(Schema.Struct({ test: Schema.optional(Schema.Array(Schema.String)) })),
  mem_limit: Schema.optional(Schema.String),
  depends_on: Schema.optional(
    Schema.Union(
      Schema.Array(Schema.String),
      Schema.Record({ key: Schema.String, value: Schema.Struct({ condition: Schema.String }) })
    )
  )
})
const Compose = Schema.Struct({
  services: Schema.Record({ key: Schema.String, value: Service }),
  volumes: Schema.Record({ key: Schema.String, value: Schema.Unknown })
})
const Routes = Schema.Struct({
  http: Schema.Struct({
    routers: Schema.Struct({ telemetry: Schema.Struct({ entryPoints: Schema.Array(Schema.String) }) }),
    services: Schema.Struct({
      telemetry: Schema.Struct({
        loadBalancer: Schema.Struct({ servers: Schema.Array(Schema.Struct({ url: Schema.String })) })
      })
    })
  })
})

const example = new Map(
  Array.from(
    readFileSync(new URL("../../.env.example", import.meta.url), "utf8").matchAll(/^([A-Z_]+)=(.*)$/gm),
    ([, name, value]) => [name!, value!] as const
  )
)

describeWithPython("docker-compose.yml and docker-compose.cluster.yml", () => {
  let one: typeof Compose.Type
  let cluster: typeof Compose.Type
  const service = (name: string) => one.services[name]!

  beforeAll(async () => {
    const [first, second] = await runPython<ReadonlyArray<unknown>>("yaml_json.py", ...files.map((file) => root + file))
    one = Schema.decodeUnknownSync(Compose)(first)
    cluster = Schema.decodeUnknownSync(Compose)(second)
  })

  it("follow the schema of the compose specification", async () => {
    const check = `${root}.venv/bin/check-jsonschema`
    await run(check, ["--builtin-schema", "vendor.compose-spec", ...files], { cwd: root })
  })

  it("confine every service, bound its logs and start it again", () => {
    const added = Object.entries(cluster.services).filter(([name]) => !(name in one.services))
    for (const [name, service] of [...Object.entries(one.services), ...added]) {
      assert.deepInclude(
        service,
        {
          restart: "unless-stopped",
          read_only: true,
          cap_drop: ["ALL"],
          security_opt: ["no-new-privileges:true"],
          logging: { driver: "json-file", options: { "max-size": "10m", "max-file": "5" } }
        },
        name
      )
      assert.deepStrictEqual(service.cap_add, name === "traefik" ? ["NET_BIND_SERVICE"] : undefined)
      assert.isUndefined(service.privileged)
      assert.match(service.image!, /^(heatpump-telemetry|docker\.io\/\S+:v?\d+\.\d+\.\d+(-cluster)?)$/, name)
    }
    for (const [name, { mem_limit }] of Object.entries(one.services)) assert.match(mem_limit ?? "", /^\d+[mg]$/, name)
  })

  it("open 80 and 443 to the world, and the database to this machine alone", () => {
    const ports = Object.values({ ...one.services, ...cluster.services }).flatMap(({ ports = [] }) => ports)
    assert.deepStrictEqual(
      [...(service("traefik").ports ?? []), ...(service("victoriametrics").ports ?? [])],
      ["80:80", "443:443", "127.0.0.1:8428:8428"]
    )
    assert.isTrue(ports.length <= 3)
  })

  it("keep samples longer than RETENTION_DAYS, once, and whole", () => {
    for (const [name, { command = [] }] of [...Object.entries(one.services), ...Object.entries(cluster.services)]) {
      if (!/^(victoriametrics|vmstorage-\d)$/.test(name)) continue
      const months = Number(command.find((flag) => flag.startsWith("-retentionPeriod="))!.split("=")[1])
      assert.isAbove(months * 31, Number(example.get("RETENTION_DAYS")), name)
      assert.include(command, "-dedup.minScrapeInterval=1ms", name)
    }
    assert.include(cluster.services.vmselect!.command ?? [], "-dedup.minScrapeInterval=1ms")
    const replicated = ["vminsert", "vmselect"].map((name) => cluster.services[name]!.command!)
    for (const command of replicated) {
      assert.includeMembers(
        [...command],
        ["-storageNode=vmstorage-1", "-storageNode=vmstorage-2", "-replicationFactor=2"]
      )
    }
  })

  it.skipIf(!hasVictoriaMetrics)("use flags and a scrape file that VictoriaMetrics knows", async () => {
    const flags = (service("victoriametrics").command ?? []).map((flag) =>
      flag.replace("/etc/victoriametrics.yml", `${root}docs/observability/victoriametrics.yml`)
    )
    assert.isAbove(flags.length, 5)
    await run(victoriaMetricsBinary!, [...flags, "-dryRun"], { env: { ADMIN_TOKEN: "any" } })
  })

  it("start in an order of health", () => {
    assert.deepStrictEqual(service("traefik").depends_on, { "telemetry-api": { condition: "service_healthy" } })
    assert.deepStrictEqual(service("telemetry-trainer").depends_on, {
      "telemetry-api": { condition: "service_healthy" },
      victoriametrics: { condition: "service_healthy" }
    })
    assert.include(service("victoriametrics").healthcheck?.test?.join(" "), "http://127.0.0.1:8428/health")
  })

  it("force HTTPS, write down no request, and leave the limit of bodies to the collector", async () => {
    const command = service("traefik").command!
    assert.includeMembers(
      [...command],
      [
        "--entryPoints.web.http.redirections.entryPoint.to=websecure",
        "--entryPoints.web.http.redirections.entryPoint.scheme=https",
        "--certificatesResolvers.letsencrypt.acme.storage=/letsencrypt/acme.json"
      ]
    )
    // Off unless asked for: https://doc.traefik.io/traefik/observability/access-logs/
    const text = command.join(" ").toLowerCase()
    for (const word of ["accesslog", "buffering", "maxrequestbodybytes", "forwardedheaders", "api.insecure"]) {
      assert.notInclude(text, word)
    }
    assert.include(service("traefik").volumes ?? [], "./docs/traefik.yml:/etc/traefik/telemetry.yml:ro")
    const routes = await runPython<ReadonlyArray<unknown>>(
      "yaml_json.py",
      `${root}docs/traefik.yml`,
      `${root}docs/traefik.cluster.yml`
    )
    const servers = routes.map((one) => {
      const { routers, services } = Schema.decodeUnknownSync(Routes)(one).http
      assert.deepStrictEqual(routers.telemetry.entryPoints, ["websecure"])
      return services.telemetry.loadBalancer.servers.map(({ url }) => url)
    })
    assert.deepStrictEqual(servers, [
      ["http://telemetry-api:8000"],
      ["http://telemetry-api:8000", "http://telemetry-api-2:8000"]
    ])
  })

  it("set nothing that there is not, and ask for every secret", () => {
    const known = new Set([...settings.flatMap(({ name }) => name.split(" or ")), "TZ"])
    const text = files.map((file) => readFileSync(root + file, "utf8")).join("\n")
    for (const [name, { environment = {}, image }] of [
      ...Object.entries(one.services),
      ...Object.entries(cluster.services)
    ]) {
      if (!name.startsWith("telemetry") && image !== "heatpump-telemetry") continue
      for (const variable of Object.keys(environment)) assert.isTrue(known.has(variable), `${name}: ${variable}`)
    }
    for (const [, name, operator] of text.matchAll(/\$\{([A-Z_]+)(:[?-])/g)) {
      const isOptional = /^(OTEL_|MODEL_SIGNING_KEY$|RUN_ON_STARTUP$|TARGET_MODELS$)/.test(name!)
      assert.strictEqual(example.has(name!), !isOptional, name)
      const isGiven = /^(\d|Europe)/.test(example.get(name!) ?? "")
      assert.strictEqual(operator, isGiven || isOptional ? ":-" : ":?", name)
    }
  })

  it("do not share a volume that belongs to one", () => {
    const services = [...Object.entries(one.services), ...Object.entries(cluster.services)]
    for (const volume of Object.keys({ ...one.volumes, ...cluster.volumes })) {
      const users = new Set(
        services.flatMap(([name, { volumes = [] }]) =>
          volumes.some((use) => use.startsWith(`${volume}:`)) ? [name] : []
        )
      )
      assert.strictEqual(users.size, volume === "models" ? 3 : 1, volume)
    }
  })
})

it("nothing starts with the placeholders of .env.example, nor with the empty lines", async () => {
  const given = Object.fromEntries([...example].filter(([name]) => name.endsWith("TOKEN")))
  assert.deepStrictEqual(Object.keys(given), ["AUTH_TOKEN", "ADMIN_TOKEN"])
  const directory = mkdtempSync(join(tmpdir(), "telemetry-compose-"))
  try {
    const served = await runProgram(["serve"], { ...given, PORT: "0", DATA_DIR: directory })
    assert.strictEqual(served.code, 2)
    assert.include(served.stderr, "AUTH_TOKEN")
  } finally {
    rmSync(directory, { recursive: true })
  }
  const { code, stderr } = await runProgram(["train", "--all", "--publish"], {
    TELEMETRY_ENCRYPTION_KEY: example.get("TELEMETRY_ENCRYPTION_KEY")!
  })
  assert.strictEqual(code, 2)
  assert.include(stderr, "TELEMETRY_ENCRYPTION_KEY")
  assert.deepStrictEqual(
    ["TELEMETRY_DOMAIN", "ACME_EMAIL"].map((name) => example.get(name)),
    ["", ""]
  )
})
