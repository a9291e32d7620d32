import { modeOfStatus, modes, statusSensor } from "../domain/Mode.js"
import type { InstallationRecords } from "./InstallationRecords.js"

/** No mode: defrosting, or a record without its status. */
const noMode = -1

/** The mode of each record, as its position in `modes`. */
export const modesOfRecords = ({ columns, timestampsMs }: InstallationRecords): Int8Array => {
  const codes = new Int8Array(timestampsMs.length).fill(noMode)
  const status = columns.get(statusSensor)
  if (status === undefined) return codes
  for (let i = 0; i < codes.length; i++) {
    const mode = Number.isNaN(status[i]) ? undefined : modeOfStatus(status[i]!)
    if (mode !== undefined) codes[i] = modes.indexOf(mode)
  }
  return codes
}
