import { stripVTControlCharacters } from "node:util"
import { Effect } from "effect"
import { tidyHelp } from "./tidyHelp.js"

const firstOption = process.argv.findIndex((word) => word.startsWith("-"))
const asksForHelp = process.argv.includes("--help") || process.argv.includes("-h")
const helpOr = (text: unknown) =>
  typeof text === "string" && asksForHelp ? tidyHelp(process.argv.slice(2, firstOption), text) : text

/** `@effect/cli` always writes colours; only a terminal wants them, and not with `NO_COLOR`. */
export const withFittingColours = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.consoleWith((console) => {
    const plain = (stream: NodeJS.WriteStream, text: unknown) =>
      typeof text === "string" && !(stream.isTTY && stream.hasColors()) ? stripVTControlCharacters(text) : text
    return Effect.withConsole(program, {
      ...console,
      log: (...texts) => console.log(...texts.map((text) => plain(process.stdout, helpOr(text)))),
      error: (...texts) => console.error(...texts.map((text) => plain(process.stderr, text)))
    })
  })
