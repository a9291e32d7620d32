/** A published model as an answer: conditional requests and ranges as RFC 9110, sections 13 and 14, has them. */
import { FileSystem, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import type { PublishedModel } from "../artifact/Registry.js"
import { orBreakOff } from "./breakOff.js"
import { problem } from "./Problems.js"

type Range = { readonly start: number; readonly end: number }

/** The one range asked for, its end included; undefined where the whole is to be sent, as for several ranges. */
const rangeOf = (header: string | undefined, size: number): Range | "unsatisfiable" | undefined => {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "")
  if (match === null) return undefined
  const [, from = "", to = ""] = match
  if (from === "" && to === "") return undefined
  if (from === "") {
    const length = Math.min(Number(to), size)
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size - 1 }
  }
  const start = Number(from)
  if (to !== "" && Number(to) < start) return undefined
  return start >= size ? "unsatisfiable" : { start, end: to === "" ? size - 1 : Math.min(Number(to), size - 1) }
}

const isNamed = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag))

/** 200, 206, 304 or 416. Who may have the model has been asked before. */
export const answerModel = Effect.fn("Download.answerModel")(function* (
  model: PublishedModel,
  request: HttpServerRequest.HttpServerRequest
) {
  const { headers } = request
  const fs = yield* FileSystem.FileSystem
  const etag = `"${model.sha256}"`
  const about = {
    etag,
    "accept-ranges": "bytes",
    // Proxies must ask again: who may have it changes.
    "cache-control": "private, no-cache",
    "x-model-hash": model.sha256,
    "x-model-name": model.name
  }
  if (isNamed(headers["if-none-match"], etag)) return HttpServerResponse.empty({ status: 304, headers: about })
  const isFresh = headers["if-range"] === undefined || headers["if-range"] === etag
  const range = isFresh ? rangeOf(headers.range, model.sizeBytes) : undefined
  if (range === "unsatisfiable") {
    return problem(416, "The range lies outside of the model", { "content-range": `bytes */${model.sizeBytes}` })
  }
  const { end, start } = range ?? { start: 0, end: model.sizeBytes - 1 }
  const file = fs.stream(model.file, { offset: start, bytesToRead: end - start + 1 })
  const body = orBreakOff(file, request, "the download of a model")
  return HttpServerResponse.stream(body, {
    status: range === undefined ? 200 : 206,
    contentType: "application/octet-stream",
    contentLength: end - start + 1,
    headers: {
      ...about,
      "content-disposition": `attachment; filename="${model.filename}"`,
      ...(range === undefined ? {} : { "content-range": `bytes ${start}-${end}/${model.sizeBytes}` })
    }
  })
})
