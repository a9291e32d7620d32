import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Clock, Effect, Either, Option, Schema } from "effect"
import { type PublishedModel, Registry, type RegistryError } from "../artifact/Registry.js"
import { InstallationId } from "../domain/InstallationId.js"
import { isModelName, unknownModel } from "../domain/ModelName.js"
import { fieldNamePattern } from "../domain/Sensor.js"
import { Auth, type AuthError } from "../pipeline/Auth.js"
import { Averages } from "../pipeline/Averages.js"
import { Grants } from "../pipeline/Grants.js"
import { Pool, type PoolReport } from "../pipeline/Pool.js"
import { Store, type StoreError } from "../store/Store.js"
import { Api } from "./Api.js"
import { Clients } from "./Clients.js"
import type { Averages as AveragesAnswer, ModelCheck, PoolStatus, PublishedModels } from "./CommunityApi.js"
import { answerModel } from "./Download.js"
import { answer, answerFailing, problem } from "./Problems.js"

const mostMetrics = 20

/** For a request that cannot be answered now, or not like this. */
class Refusal {
  readonly _tag = "Refusal"
  constructor(readonly response: HttpServerResponse.HttpServerResponse) {}
}
const refuse = (status: number, detail: string) => Effect.fail(new Refusal(problem(status, detail)))

const answerFailure = (error: Refusal | AuthError | StoreError | RegistryError) => {
  switch (error._tag) {
    case "Refusal":
      return Effect.succeed(error.response)
    case "StoreError":
    case "RegistryError":
      return answerFailing(error, "The server cannot look that up now")
    default:
      return answer(error)
  }
}

type Request = HttpServerRequest.HttpServerRequest

/** Of a name that is given several times the last counts, as it did for existing clients. */
const parametersOf = (request: Request) => {
  const at = request.url.indexOf("?")
  const all = new Map(new URLSearchParams(at < 0 ? "" : request.url.slice(at + 1)))
  return (name: string): string | undefined => all.get(name)
}

const decodeId = Schema.decodeUnknownEither(InstallationId)
const installationIn = (value: string) =>
  Either.match(decodeId(value), {
    onLeft: () => refuse(400, "Invalid installation_id format (must be UUID)"),
    onRight: Effect.succeed
  })
const modelIn = (value: string | undefined) =>
  value === undefined || isModelName(value) ? Effect.succeed(value) : refuse(400, "Invalid model name format")

const reasonOf = (pool: PoolReport, hasContributed: boolean, isAvailable: boolean, days: number) => {
  if (!pool.isSufficient) {
    return {
      en: "There is no community model yet: the data pool is still growing, also by your data. Please check again later.",
      de: "Es gibt noch kein Community-Modell: Der Datenpool wächst noch, auch durch Ihre Daten. Bitte später erneut prüfen."
    }
  }
  if (!hasContributed) {
    return {
      en: `No data came from this installation in the last ${days} days. Who shares data gets the community model.`,
      de: `Von dieser Installation kamen in den letzten ${days} Tagen keine Daten. Wer Daten teilt, erhält das Community-Modell.`
    }
  }
  return isAvailable
    ? { en: "Eligible for the community model.", de: "Berechtigt für das Community-Modell." }
    : {
        en: "Eligible, but there is no model for this heat pump yet. One is made once there are enough data.",
        de: "Berechtigt, aber für diese Wärmepumpe gibt es noch kein Modell. Es entsteht, sobald genügend Daten da sind."
      }
}

const twoDecimals = (value: number) => Math.round(value * 100) / 100

export const CommunityHandlers = HttpApiBuilder.group(Api, "community", (handlers) =>
  Effect.gen(function* () {
    const auth = yield* Auth
    const store = yield* Store
    const pool = yield* Pool
    const grants = yield* Grants
    const clients = yield* Clients
    const registry = yield* Registry
    const averages = yield* Averages

    const poolStatus = Effect.gen(function* () {
      const report = yield* pool.report
      const models = yield* registry.list
      const status: PoolStatus = {
        total_installations: report.installations,
        total_data_points: report.dataPoints,
        models_available: models.map(({ name }) => name.replaceAll("_", " ")),
        data_sufficient: report.isSufficient,
        message: report.message.en,
        message_de: report.message.de,
        timestamp: (yield* Clock.currentTimeMillis) / 1000
      }
      return status
    })

    /** The model for an installation: the one asked for, else of what it submitted last. */
    const modelFor = Effect.fnUntraced(function* (installation: InstallationId, model: string | undefined) {
      const name = model ?? Option.getOrElse(yield* store.lastModel(installation), () => unknownModel)
      return yield* registry.find(name)
    })

    const check = Effect.fn("CommunityHandlers.check")(function* (request: Request) {
      const parameter = parametersOf(request)
      const id = parameter("installation_id")
      if (id === undefined) return yield* refuse(422, "The parameter installation_id is missing")
      const installation = yield* installationIn(id)
      const asked = yield* modelIn(parameter("model"))
      const report = yield* pool.report
      const hasContributed = yield* pool.hasContributed(installation)
      const eligible = report.isSufficient && hasContributed
      const model = eligible ? yield* modelFor(installation, asked) : Option.none<PublishedModel>()
      if (Option.isSome(model)) yield* grants.give(clients.of(request).address, model.value.name)
      const hash = Option.getOrNull(Option.map(model, ({ sha256 }) => sha256))
      const reason = reasonOf(report, hasContributed, Option.isSome(model), pool.eligibilityDays)
      const result: ModelCheck = {
        eligible,
        reason: reason.en,
        reason_de: reason.de,
        model_hash: hash,
        hash,
        version_hash: hash,
        model_available: hash !== null,
        update_available: hash !== null && parameter("current_hash")?.toLowerCase() !== hash,
        data_pool: yield* poolStatus
      }
      return HttpServerResponse.unsafeJson(result)
    })

    const download = Effect.fn("CommunityHandlers.download")(function* (request: Request) {
      yield* auth.logger(request.headers.authorization)
      const parameter = parametersOf(request)
      const id = parameter("installation_id")
      const asked = yield* modelIn(parameter("model"))
      const found = Effect.gen(function* () {
        if (id !== undefined) {
          const installation = yield* installationIn(id)
          const { isSufficient } = yield* pool.report
          if (!isSufficient || !(yield* pool.hasContributed(installation))) {
            return yield* refuse(
              403,
              `Not eligible: share data, within the last ${pool.eligibilityDays} days, to get a model`
            )
          }
          return yield* modelFor(installation, asked)
        }
        const granted = yield* grants.look(clients.of(request).address)
        if (Option.isNone(granted)) {
          return yield* refuse(
            403,
            "Not eligible: ask /api/v1/model/check first, from the same address, or send installation_id"
          )
        }
        const model = yield* registry.find(asked ?? granted.value)
        if (asked !== undefined && Option.exists(model, ({ name }) => name !== granted.value)) {
          return yield* refuse(403, "Not eligible for that model: the last check was about another one")
        }
        return model
      })
      const model = yield* found
      return Option.isNone(model)
        ? yield* refuse(404, "No model is available yet: it is still being trained")
        : yield* answerModel(model.value, request)
    })

    const listModels = Effect.fn("CommunityHandlers.listModels")(function* (request: Request) {
      yield* auth.admin(request.headers.authorization, clients.of(request).isLocal)
      const models = yield* registry.list
      const result: PublishedModels = { models: models.map(describeModel), total: models.length }
      return HttpServerResponse.unsafeJson(result)
    })

    const average = Effect.fn("CommunityHandlers.average")(function* (request: Request) {
      yield* auth.logger(request.headers.authorization)
      const parameter = parametersOf(request)
      const model = yield* modelIn(parameter("model"))
      if (model === undefined) return yield* refuse(422, "The parameter model is missing")
      const names = (parameter("metrics") ?? "cop,temp_outside").split(",").map((name) => name.trim())
      const metrics = [...new Set(names.filter((name) => name !== ""))]
      if (metrics.length > mostMetrics) return yield* refuse(400, `At most ${mostMetrics} metrics at once`)
      if (!metrics.every((name) => fieldNamePattern.test(name))) {
        return yield* refuse(400, "Invalid metric name: up to 128 letters, digits and _, not beginning with __")
      }
      const found = yield* Effect.forEach(metrics, (metric) =>
        Effect.map(averages.of(model, metric), (average) => ({ metric, average }))
      )
      const shown = found.flatMap(({ average, metric }) => (average === undefined ? [] : [{ metric, ...average }]))
      const result: AveragesAnswer = {
        model,
        window: "24h",
        metrics: Object.fromEntries(
          shown.map(({ avg, high, low, metric }) => [
            metric,
            { avg: twoDecimals(avg), min: twoDecimals(low), max: twoDecimals(high) }
          ])
        ),
        sample_size: Math.max(0, ...shown.map(({ installations }) => installations)),
        withheld: found.filter(({ average }) => average === undefined).map(({ metric }) => metric)
      }
      return HttpServerResponse.unsafeJson(result)
    })

    return handlers
      .handleRaw("poolStatus", () =>
        Effect.catchAll(
          Effect.map(poolStatus, (status) => HttpServerResponse.unsafeJson(status)),
          answerFailure
        )
      )
      .handleRaw("checkModel", ({ request }) => Effect.catchAll(check(request), answerFailure))
      .handleRaw("downloadModel", ({ request }) => Effect.catchAll(download(request), answerFailure))
      .handleRaw("listModels", ({ request }) => Effect.catchAll(listModels(request), answerFailure))
      .handleRaw("communityAverages", ({ request }) => Effect.catchAll(average(request), answerFailure))
  })
)

/** As the model list and the status show it: nothing of where it lies. */
export const describeModel = ({ filename, manifest, modifiedMs, name, sha256, sizeBytes }: PublishedModel) => ({
  name,
  filename,
  size_bytes: sizeBytes,
  hash: sha256,
  modified: modifiedMs / 1000,
  version: manifest?.version ?? null,
  gate: manifest?.gate ?? null,
  signing_key_id: manifest?.signing_key_id ?? null
})
