import type { Sqlite } from "./Sqlite.js"
import type { Appended } from "./Store.js"

/** What a row of `block` begins as. */
interface BlockRow {
  readonly installationId: string
  readonly heatpumpId: string | null | undefined
  readonly model: string
  readonly version: string
  readonly firstTimestampMs: number
  readonly lastTimestampMs: number
  readonly records: number
  readonly samples: number
  readonly sha256: Buffer
  readonly gzippedLines: Buffer
}

/**
 * No two blocks of an installation have the same `activity_at_ms`: a series has one sample per millisecond. One
 * submission may have thousands of blocks, so it is looked for a day ahead, in the index.
 */
const insertQuery = `INSERT INTO block (installation_id, heatpump_id, model, version, received_at_ms, first_timestamp_ms,
    last_timestamp_ms, records, samples, sha256, gzipped_lines, activity_at_ms)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, coalesce((SELECT max(activity_at_ms) + 1 FROM block
    WHERE installation_id = ?1 AND activity_at_ms BETWEEN ?5 AND ?5 + 86400000), ?5))
  ON CONFLICT (installation_id, sha256) DO NOTHING RETURNING id`
// A duplicate is contact too.
const contactQuery = "UPDATE installation SET last_received_ms = max(last_received_ms, ?) WHERE id = ?"

/** Prepared once; to be called within a transaction. */
export const prepareInsert = (db: Sqlite) => {
  const insert = db.prepare(insertQuery)
  const contact = db.prepare(contactQuery)
  return (block: BlockRow, receivedAtMs: number): Appended => {
    const rows = insert.all([
      block.installationId,
      block.heatpumpId ?? null,
      block.model,
      block.version,
      receivedAtMs,
      block.firstTimestampMs,
      block.lastTimestampMs,
      block.records,
      block.samples,
      block.sha256,
      block.gzippedLines
    ])
    if (rows.length > 0) return "stored"
    contact.run([receivedAtMs, block.installationId])
    return "duplicate"
  }
}
