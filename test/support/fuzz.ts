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

export const sendHostile = async (url: string, { body, headers, method, path }: HostileRequest) => {
  const response = await fetch(url + path, {
    method,
    headers,
    ...(method === "GET" || body === undefined ? {} : { body })
  })
  return { status: response.status, text: await response.text() }
}

const documented = [200, 400, 401, 403, 404, 405, 410, 411, 413, 415, 422, 429]
const decodeProblem = Schema.decodeUnknownEither(Schema.parseJson(Problem), { onExcessProperty: "error" })

/** What is wrong with an answer; undefined when nothing is. */
export const problemOfAnswer = ({ status, text }: { readonly status: number; readonly text: string }) => {
  if (!documented.includes(status)) return `status ${status}: ${text}`
  return status >= 400 && decodeProblem(text)._tag === "Left" ? `status ${status} with ${text}` : undefined
}
