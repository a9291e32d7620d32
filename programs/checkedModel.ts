import { Effect } from "effect"
import { isModelName } from "../src/domain/ModelName.js"
import { SettingInvalid } from "../src/Secrets.js"

/** The name, when it can be a heat pump model's. */
export const checkedModel = (setting: string, name: string) =>
  isModelName(name)
    ? Effect.succeed(name)
    : new SettingInvalid({ setting, reason: "is not a name that a heat pump model can have" })
