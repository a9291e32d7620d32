/**
 * The schema of `telemetry.sqlite`, one step per release that changed it; `user_version` counts the steps taken.
 * Never edit a step that has been released: append another.
 *
 * `block` holds one row per source and submission, its compressed lines in the last column so that everything else can
 * be read without touching them. `installation` is kept by triggers in the same transaction as the blocks it counts, so
 * activity and totals cost one small scan whatever the number of blocks.
 */
export const migrations: ReadonlyArray<string> = [
  `
  CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    installation_id TEXT NOT NULL,
    heatpump_id TEXT,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    first_timestamp_ms INTEGER NOT NULL,
    last_timestamp_ms INTEGER NOT NULL,
    records INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    gzipped_lines BLOB NOT NULL,
    UNIQUE (installation_id, sha256)
  ) STRICT;
  CREATE INDEX block_installation ON block (installation_id);
  CREATE INDEX block_age ON block (last_timestamp_ms);

  CREATE TABLE installation (
    id TEXT PRIMARY KEY,
    last_received_ms INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    records INTEGER NOT NULL,
    samples INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TRIGGER block_added AFTER INSERT ON block BEGIN
    INSERT INTO installation VALUES (NEW.installation_id, NEW.received_at_ms, 1, NEW.records, NEW.samples)
    ON CONFLICT (id) DO UPDATE SET
      last_received_ms = max(last_received_ms, excluded.last_received_ms),
      blocks = blocks + 1,
      records = records + excluded.records,
      samples = samples + excluded.samples;
  END;
  CREATE TRIGGER block_removed AFTER DELETE ON block BEGIN
    UPDATE installation SET blocks = blocks - 1, records = records - OLD.records, samples = samples - OLD.samples
    WHERE id = OLD.installation_id;
    DELETE FROM installation WHERE id = OLD.installation_id AND blocks = 0;
  END;
  `
]
