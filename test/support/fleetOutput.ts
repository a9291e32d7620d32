/** A simulated home as its logger submits it, and as VictoriaMetrics exports it. */
import { sensors } from "../../src/domain/Sensor.js"
import type { SimulatedHome } from "./fleet.js"
import { SeededRandom } from "./random.js"

export interface BodyOptions {
  readonly model: string
  /** Records per POST. Default 500, as loggers send them. */
  readonly records?: number
  /** Batches arrive in an order drawn from this seed, some a second time; in order of time without it. */
  readonly disorderSeed?: number
}

const isFlag = (name: string) => sensors.get(name)?.kind === "binary"

/** The bodies of `POST /api/v1/submit`, spelled as Python's json.dumps does. Missing values have no key. */
export const submitBodies = (home: SimulatedHome, options: BodyOptions): ReadonlyArray<string> => {
  const size = options.records ?? 500
  const columns = [...home.columns].map(([name, values]) => ({ name, values, isFlag: isFlag(name) }))
  const batches = Math.ceil(home.timestampsMs.length / size)
  const bodies = Array.from({ length: batches }, (_, batch) => {
    const records: Array<string> = []
    for (let i = batch * size; i < Math.min((batch + 1) * size, home.timestampsMs.length); i++) {
      const fields: Array<string> = []
      for (const { name, values, isFlag } of columns) {
        const value = values[i]!
        if (Number.isNaN(value)) continue
        fields.push(`"${name}": ${isFlag && (value === 0 || value === 1) ? value === 1 : value}`)
      }
      records.push(`{${fields.join(", ")}, "timestamp": ${home.timestampsMs[i]! / 1000}}`)
    }
    return `{"installation_id": "${home.installationId}", "heatpump_model": "${options.model}", "version": "1.0.1", "data_version": "2.0", "batch_index": ${batch}, "data": [${records.join(", ")}]}`
  })
  return options.disorderSeed === undefined ? bodies : disorder(bodies, options.disorderSeed)
}

/** Shuffled by Fisher and Yates, with every tenth sent twice. */
export const disorder = <A>(values: ReadonlyArray<A>, seed: number): ReadonlyArray<A> => {
  const random = new SeededRandom(seed)
  const all = [...values, ...values.filter((_, i) => i % 10 === 9)]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1))
    const held = all[i]!
    all[i] = all[j]!
    all[j] = held
  }
  return all
}

/** The series of a home as lines of `/api/v1/export`; missing values are missing samples. */
export const exportLines = (
  home: SimulatedHome,
  tags: { readonly model: string; readonly heatpump_id?: string; readonly manufacturer?: string }
): ReadonlyArray<string> =>
  [...home.columns].map(([name, values]) => {
    const metric = {
      __name__: `heatpump_metrics_${name}`,
      installation_id: home.installationId,
      version: "1.0.1",
      ...tags
    }
    const kept: Array<number> = []
    for (let i = 0; i < values.length; i++) if (!Number.isNaN(values[i])) kept.push(i)
    return JSON.stringify({
      metric,
      values: kept.map((i) => values[i]),
      timestamps: kept.map((i) => home.timestampsMs[i])
    })
  })
