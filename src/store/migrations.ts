/**
 * The schema of `telemetry.sqlite`, one step per release that changed it; `user_version` counts the steps taken.
 * Never edit a step that has been released: append another.
 *
 * `block` holds one row per source and submission, its compressed lines in a column that everything else can be read
 * without touching. `installation` is kept by triggers in the same transaction as the blocks it counts, so activity and
 * totals cost one small scan whatever the number of blocks.
 *
 * The same rows are a journal when a time-series database keeps the samples (`Journal`):
 * - waiting: `drained_at_ms` is null and `quarantined_because` is null.
 * - quarantined: refused by the database, kept with its lines until it is sent again.
 * - drained: safe in the database; the lines are dropped, the digest stays to recognise the block should it come again.
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
  `,
  // The journal. activity_at_ms: when the block was received, moved by milliseconds where its installation would have
  // two at once. AUTOINCREMENT: an id that was sent to the database never comes back as another block's.
  `
  DROP TRIGGER block_added;
  DROP TRIGGER block_removed;
  ALTER TABLE block RENAME TO block_1;
  CREATE TABLE block (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
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
    activity_at_ms INTEGER NOT NULL,
    drained_at_ms INTEGER,
    quarantined_because TEXT,
    UNIQUE (installation_id, sha256)
  ) STRICT;
  INSERT INTO block SELECT *, received_at_ms - 1
    + row_number() OVER (PARTITION BY installation_id, received_at_ms ORDER BY id), NULL, NULL FROM block_1 ORDER BY id;
  DROP TABLE block_1;

  CREATE INDEX block_age ON block (last_timestamp_ms);
  CREATE INDEX block_installation ON block (installation_id, activity_at_ms);
  CREATE INDEX block_activity ON block (activity_at_ms);
  CREATE INDEX block_waiting ON block (id) WHERE drained_at_ms IS NULL AND quarantined_because IS NULL;
  CREATE INDEX block_quarantined ON block (id) WHERE quarantined_because IS NOT NULL;
  CREATE INDEX block_drained ON block (drained_at_ms) WHERE drained_at_ms IS NOT NULL;

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

  CREATE TABLE collector (id TEXT NOT NULL) STRICT;
  INSERT INTO collector VALUES (lower(hex(randomblob(8))));
  `,
  // The age of the oldest sample, which tells whether retention is kept, without reading every row.
  `
  CREATE INDEX block_oldest ON block (first_timestamp_ms) WHERE drained_at_ms IS NULL;
  `,
  // All that is summed up of a backlog, which may be millions of blocks, without reading their rows.
  `
  DROP INDEX block_waiting;
  CREATE INDEX block_waiting ON block (id, records, samples, length(gzipped_lines))
    WHERE drained_at_ms IS NULL AND quarantined_because IS NULL;
  `
]
