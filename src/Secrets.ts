import { FileSystem } from "@effect/platform"
import { Config, Data, Effect, Option, Redacted } from "effect"

/** A setting that cannot be used as it is; the program must not start. */
export class SettingInvalid extends Data.TaggedError("SettingInvalid")<{
  readonly setting: string
  readonly reason: string
}> {
  override get message() {
    return `${this.setting} ${this.reason}`
  }
}

/** The secret `NAME`, or the content of the file that `NAME_FILE` names, with the setting that held it. */
export const readSecret = Effect.fn("Secrets.read")(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  const value = yield* Config.option(Config.redacted(name))
  const setting = `${name}_FILE`
  const file = yield* Config.option(Config.string(setting))
  if (Option.isSome(value) && Option.isSome(file)) {
    return yield* new SettingInvalid({ setting: name, reason: `and ${setting} are both set; remove one` })
  }
  if (Option.isNone(file)) return Option.map(value, (value) => ({ setting: name, value }))
  const text = yield* fs
    .readFileString(file.value)
    .pipe(Effect.mapError((error) => new SettingInvalid({ setting, reason: `cannot be read: ${error.message}` })))
  return Option.some({ setting, value: Redacted.make(text.trim()) })
})
