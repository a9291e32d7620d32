/** The operating modes that have a model of their own, in the order in which a model file holds them. */
export const modes = ["heating", "cooling", "water", "standby"] as const
export type Mode = (typeof modes)[number]

/** The sensor whose bits tell the mode. */
export const statusSensor = "status_heat_pump"

/** Bits of `status_heat_pump`. */
export const statusBit = { heating: 1, cooling: 2, water: 4, defrosting: 8 } as const

/** Defrosting is in no mode: its few minutes are neither scored nor learned. */
export const modeOfStatus = (status: number): Mode | undefined => {
  if (status & statusBit.defrosting) return undefined
  if (status & statusBit.water) return "water"
  if (status & statusBit.cooling) return "cooling"
  return status & statusBit.heating ? "heating" : "standby"
}
