/** How a setting is declared: read from the environment and described for the documents by one call. */
import { Config, ConfigError, Either } from "effect"
import { networkOf, type TrustedNetwork } from "./domain/TrustedNetwork.js"

export interface Setting {
  readonly name: string
  readonly fallback: string
  readonly meaning: string
}

const described: Array<Setting> = []

/** All settings in the order of their declaration, for the documents. */
export const declaredSettings: ReadonlyArray<Setting> = described

/** A setting of type `A`, handed on as `map` makes it; `fallback` when it is unset. */
export const mappedSetting = <A, B>(
  name: string,
  type: (name: string) => Config.Config<A>,
  fallback: A,
  meaning: string,
  map: (value: A) => B
): Config.Config<B> => {
  described.push({ name, fallback: String(fallback), meaning })
  return type(name).pipe(Config.withDescription(meaning), Config.withDefault(fallback), Config.map(map))
}

/** A setting of type `A` as it is. */
export const setting = <A>(
  name: string,
  type: (name: string) => Config.Config<A>,
  fallback: A,
  meaning: string
): Config.Config<A> => mappedSetting(name, type, fallback, meaning, (value) => value)

/** A secret by its name, which may also be given as a file (`NAME_FILE`); `Secrets` reads it. */
export const secret = (name: string, meaning: string, fallback = ""): string => {
  described.push({ name: `${name} or ${name}_FILE`, fallback, meaning })
  return name
}

export const whole = (min: number, max: number) => (name: string) =>
  Config.integer(name).pipe(
    Config.validate({
      message: `must be a whole number${max === Number.MAX_SAFE_INTEGER ? `, at least ${min}` : ` from ${min} to ${max}`}`,
      validation: (n) => n >= min && n <= max
    })
  )
export const atLeastOne = whole(1, Number.MAX_SAFE_INTEGER)
export const atLeastZero = whole(0, Number.MAX_SAFE_INTEGER)

export const trustedNetworks = (name: string): Config.Config<ReadonlyArray<TrustedNetwork>> =>
  Config.string(name).pipe(
    Config.mapOrFail((list) => {
      const networks: Array<TrustedNetwork> = []
      for (const text of list.split(",").map((text) => text.trim())) {
        if (text === "") continue
        const network = networkOf(text)
        const message = `must be addresses and networks like 10.0.0.1, 172.16.0.0/12 or fd00::/8, not ${text}`
        if (network === undefined) return Either.left(ConfigError.InvalidData([name], message))
        networks.push(network)
      }
      return Either.right(networks)
    })
  )
