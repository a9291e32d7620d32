/** Publishes one model after another until it is killed: publishLoop.mjs DIRECTORY ENCRYPTION_KEY FIRST. Says each number. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { Effect, Layer, Option, Redacted } from "effect"
import { publish } from "../../dist/src/artifact/Publish.js"

const [directory, key, first] = process.argv.slice(2)
const keys = { encryption: Redacted.make(key), signing: Option.none() }

const loop = Effect.gen(function* () {
  for (let number = Number(first); ; number++) {
    const pickle = Buffer.alloc(20_000, `model ${number} `)
    const publication = { name: "AERO SLM", pickle, gate: "skipped", metadata: { number }, metrics: null }
    const { version } = yield* publish(publication, { directory, keys, keep: 3 })
    process.stdout.write(`${number} ${version}\n`)
  }
})
await Effect.runPromise(Effect.provide(loop, Layer.merge(NodeFileSystem.layer, NodePath.layer)))
