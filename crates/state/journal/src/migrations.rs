/// Each migration leads from its place in the list to the next; none is changed once released.
pub(crate) const MIGRATIONS: [&str; 3] = [FIRST, SECOND, THIRD];

const FIRST: &str = "
CREATE TABLE counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    journal BLOB NOT NULL CHECK (length(journal) = 32)
) STRICT;
INSERT INTO counter VALUES (1, 0, randomblob(32));

CREATE TABLE rotations (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    open INTEGER NOT NULL CHECK (open IN (0, 1)),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    unix_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_rotation_per_secret ON rotations (secret) WHERE open = 1;

-- An opening is its rotation's entry of seq 0, so that the chain covers the plan too.
CREATE TABLE entries (
    entry INTEGER PRIMARY KEY,
    rotation INTEGER NOT NULL REFERENCES rotations (number),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    bytes BLOB NOT NULL,
    unix_ms INTEGER NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    UNIQUE (rotation, seq)
) STRICT;

CREATE TABLE names (
    digest INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'entries are only ever added'); END;
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'entries are only ever added'); END;
CREATE TRIGGER rotations_stay BEFORE DELETE ON rotations
    BEGIN SELECT raise(ABORT, 'rotations are only ever added'); END;
CREATE TRIGGER rotations_keep BEFORE UPDATE OF number, id, secret, unix_ms ON rotations
    BEGIN SELECT raise(ABORT, 'a rotation keeps its secret'); END;
CREATE TRIGGER rotations_end BEFORE UPDATE OF open ON rotations WHEN NEW.open > OLD.open
    BEGIN SELECT raise(ABORT, 'a rotation is opened once'); END;
CREATE TRIGGER rotations_rise BEFORE UPDATE OF epoch ON rotations WHEN NEW.epoch < OLD.epoch
    BEGIN SELECT raise(ABORT, 'an epoch never goes down'); END;
CREATE TRIGGER counter_rises BEFORE UPDATE ON counter
    WHEN NEW.epoch < OLD.epoch OR NEW.journal <> OLD.journal
    BEGIN SELECT raise(ABORT, 'the counter never goes down'); END;
CREATE TRIGGER counter_stays BEFORE DELETE ON counter
    BEGIN SELECT raise(ABORT, 'the counter stays'); END;
";

const SECOND: &str = "
-- The machine that it belongs to, by digests under a key that is not here; no row before the first driver.
CREATE TABLE machine (
    name TEXT PRIMARY KEY CHECK (name IN ('id', 'hardware')),
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT, WITHOUT ROWID;
";

const THIRD: &str = "
-- Who asked for what is recorded as the entries of the row `acts`, which the first of them makes: the chain covers its
-- name from then on. An earlier keyroll would take it for a rotation.
CREATE TRIGGER acts_are_no_rotation BEFORE INSERT ON rotations WHEN NEW.id = 'acts' AND NEW.open = 1
    BEGIN SELECT raise(ABORT, 'acts are no rotation'); END;
";
