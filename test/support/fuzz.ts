/** Requests as nobody well-meaning sends them, and what may be answered to them. */
import { Schema } from "effect"
import * as fc from "fast-check"
import { Problem } from "../../src/http/Problem.js"
import { testToken } from "./testServer.js"

export interface HostileRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

const word = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom("__proto__", "constructor", "NaN", "\u0000", "'; --")
)
const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(1e308, -0, 65535, Date.now(), Date.now() / 1000))
const json = fc.oneof(fc.jsonValue({ maxDepth: 4 }), number, word)
const record = fc.oneof(
  json,
  fc.record({ timestamp: fc.oneof(number, word), temp_outside: json, heatpumps: json }, { requiredKeys: [] }),
  fc.dictionary(word, json, { maxKeys: 8 })
)
const id = fc.oneof(fc.uuid(), word, fc.constant(null))
const submission = fc.record(
  {
    installation_id: id,
    heatpump_model: json,
    version: json,
    data: fc.oneof(fc.array(record, { maxLength: 6 }), json)
  },
  { requiredKeys: [] }
)
const request = fc.record(
  { installation_id: id, format: word, dry_run: json, delete_damaged: json },
  { requiredKeys: [] }
)
const body = fc.oneof(
  { weight: 5, arbitrary: submission.map((value) => JSON.stringify(value)) },
  { weight: 2, arbitrary: request.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: json.map((value) => JSON.stringify(value) ?? "") },
  { weight: 1, arbitrary: fc.string({ maxLength: 200 }) }
)
const headerValue = fc.stringMatching(/^[ -~]{0,40}$/)
const headers = fc.record(
  {
    authorization: fc.constantFrom(
      `Bearer ${testToken}`,
      `Bearer ${testToken}`,
      `Bearer ${testToken}`,
      "Bearer x",
      "Basic x",
      ""
    ),
    "content-type": fc.constantFrom("application/json", "application/json", "text/plain", ""),
    "content-encoding": fc.constantFrom("gzip", "br", "identity", "x"),
    "x-forwarded-for": headerValue,
    forwarded: headerValue,
    "x-custom": headerValue
  },
  { requiredKeys: ["authorization"] }
)
const path = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("/api/v1/submit") },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "/api/v1/installations/export",
      "/api/v1/installations/erase",
      "/api/v1/installations",
      "/api/v1/status",
      "/api/v1/quarantine/resend",
      "/api/v1/pool/status",
      "/api/v1/model/check",
      "/api/v1/model/download",
      "/api/v1/models",
      "/api/v1/community/averages",
      "/metrics",
      "/ready",
      "/health"
    )
  },
  { weight: 1, arbitrary: fc.webPath() }
)

export const hostileRequest: fc.Arbitrary<HostileRequest> = fc.record({
  method: fc.constantFrom("POST", "POST", "POST", "GET", "PUT", "DELETE"),
  path: fc.tuple(path, fc.option(fc.webQueryParameters(), { nil: "" })).map(([path, query]) => `${path}?${query}`),
  headers,
  body
})

export interface HostileAnswer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

export const sendHostile = async (
  url: string,
  { body, headers, method, path }: HostileRequest
): Promise<HostileAnswer> => {
  const response = await fetch(url + path, {
    method,
    headers,
    ...(method === "GET" || body === undefined ? {} : { body })
  })
  return {
    status: response.status,
    contentType: response.headers.get("content-type") ?? "",
    text: await response.text()
  }
}

/** What every address may answer besides what its own description says: unknown, another method, no HTTP. */
const anywhere = ["400", "404", "405", "408", "417", "429", "431"]

const OpenApi = Schema.Struct({
  paths: Schema.Record({
    key: Schema.String,
    value: Schema.Record({
      key: Schema.String,
      value: Schema.Struct({
        responses: Schema.Record({
          key: Schema.String,
          value: Schema.Struct({
            content: Schema.optional(
              Schema.Record({ key: Schema.String, value: Schema.Struct({ schema: Schema.Unknown }) })
            )
          })
        })
      })
    })
  }),
  components: Schema.Struct({ schemas: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
})

type JsonSchema = Readonly<Record<string, unknown>>

/** What of JSON Schema Effect writes for the API's answers; anything else is an error, so that nothing goes unchecked. */
const mismatch = (value: unknown, schema: JsonSchema, definitions: Readonly<Record<string, unknown>>): string => {
  const { $ref } = schema
  if (typeof $ref === "string") {
    const name = $ref.replace("#/components/schemas/", "")
    return mismatch(value, Object(definitions[name]), definitions)
  }
  for (const keyword of Object.keys(schema)) if (!keywords.has(keyword)) throw new Error(`unknown keyword ${keyword}`)
  if (Array.isArray(schema.anyOf)) {
    const found = schema.anyOf.map((one) => mismatch(value, one, definitions))
    return found.includes("") ? "" : `none of: ${found.join("; ")}`
  }
  if (Array.isArray(schema.enum)) return schema.enum.includes(value) ? "" : "not one of the values"
  switch (schema.type) {
    case "integer":
      return Number.isInteger(value) && belowOrIn(value, schema) ? "" : "no integer in range"
    case "number":
    case "boolean":
    case "string":
      return typeof value === schema.type ? "" : `no ${schema.type}`
    case "null":
      return value === null ? "" : "not null"
    case "array": {
      if (!Array.isArray(value)) return "no array"
      return value.map((item) => mismatch(item, Object(schema.items), definitions)).find((found) => found !== "") ?? ""
    }
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return "no object"
      const properties: Readonly<Record<string, JsonSchema>> = Object(schema.properties)
      for (const key of Array.isArray(schema.required) ? schema.required : []) {
        if (!(key in value)) return `${key} is missing`
      }
      for (const [key, item] of Object.entries(value)) {
        const property = properties[key] ?? schema.additionalProperties
        if (property === false || property === undefined) return `${key} is not documented`
        const found = mismatch(item, Object(property), definitions)
        if (found !== "") return `${key}: ${found}`
      }
      return ""
    }
    default:
      return Object.keys(schema).some((key) => key === "type") ? `type ${String(schema.type)}` : ""
  }
}
const keywords = new Set(
  "type anyOf enum properties required additionalProperties items minimum maximum title description examples".split(" ")
)
const belowOrIn = (value: unknown, { maximum, minimum }: JsonSchema): boolean =>
  typeof value === "number" &&
  (typeof minimum !== "number" || value >= minimum) &&
  (typeof maximum !== "number" || value <= maximum)

/** Reads the published schema; what it returns says what is wrong with an answer, undefined when nothing is. */
export const answersAsPublished = async (url: string) => {
  const spec = Schema.decodeUnknownSync(OpenApi)(await (await fetch(`${url}/openapi.json`)).json())
  return ({ method, path }: HostileRequest, { contentType, status, text }: HostileAnswer): string | undefined => {
    const operation = spec.paths[path.split("?", 1)[0]!]?.[method.toLowerCase()]
    const documented = operation?.responses[String(status)]
    if (documented === undefined) {
      if (!anywhere.includes(String(status))) return `status ${status} is not documented: ${text}`
      return decodeProblem(text)._tag === "Left" ? `status ${status} with ${text}` : undefined
    }
    if (documented.content === undefined) return text === "" ? undefined : `status ${status} with a body`
    const typeOf = (text: string) => text.split(";", 1)[0]!.trim()
    const media = Object.entries(documented.content).find(([type]) => typeOf(type) === typeOf(contentType))?.[1]
    if (media === undefined) return `status ${status} of type ${contentType}`
    if (!contentType.startsWith("application/json")) return undefined
    const found = mismatch(JSON.parse(text), Object(media.schema), spec.components.schemas)
    return found === "" ? undefined : `status ${status}, ${found}: ${text.slice(0, 300)}`
  }
}

const decodeProblem = Schema.decodeUnknownEither(Schema.parseJson(Problem), { onExcessProperty: "error" })
