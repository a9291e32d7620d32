import { stripVTControlCharacters } from "node:util"
import { Effect } from "effect"

/** `@effect/cli` always writes colours; only a terminal wants them, and not with `NO_COLOR`. */
export const withFittingColours = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.consoleWith((console) => {
    const plain = (stream: NodeJS.WriteStream, text: unknown) =>
      typeof text === "string" && !(stream.isTTY && stream.hasColors()) ? stripVTControlCharacters(text) : text
    return Effect.withConsole(program, {
      ...console,
      log: (...texts) => console.log(...texts.map((text) => plain(process.stdout, text))),
      error: (...texts) => console.error(...texts.map((text) => plain(process.stderr, text)))
    })
  })
