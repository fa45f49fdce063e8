-- An experiment is a resolved file; several runs may share it.
CREATE TABLE experiments (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    tags        TEXT NOT NULL,           -- JSON array
    toml        TEXT NOT NULL UNIQUE     -- every key written out
) STRICT;

CREATE TABLE runs (
    id             TEXT PRIMARY KEY,
    run_key        TEXT NOT NULL,        -- identity: configuration, data, numerics
    experiment_id  INTEGER NOT NULL REFERENCES experiments (id),
    status         TEXT NOT NULL CHECK (status IN
        ('planned', 'running', 'completed', 'failed', 'diverged', 'timed_out', 'pruned', 'interrupted')),
    seed           INTEGER NOT NULL,
    backend        TEXT NOT NULL,        -- with its version
    attempt        INTEGER NOT NULL,     -- how often a worker took it up
    started_at     TEXT NOT NULL,        -- RFC 3339, UTC, of the first attempt
    finished_at    TEXT,                 -- of the last event that ended an attempt
    seconds        REAL,                 -- training and evaluation, over all attempts
    message        TEXT,                 -- why it failed, diverged or stopped early
    folded         TEXT,                 -- convolutions that are computed as one, in words
    parameters     INTEGER,              -- trainable parameters of the network
    fingerprint    TEXT,                 -- of the data's content
    split_hash     TEXT,                 -- of which image went where
    class_0        TEXT,
    class_1        TEXT,
    broken_images  INTEGER,
    version        TEXT NOT NULL,
    numerics       INTEGER NOT NULL,
    platform       TEXT NOT NULL,
    cpu_features   TEXT NOT NULL,
    threads        INTEGER NOT NULL,
    host           TEXT NOT NULL,
    git_commit     TEXT,
    git_dirty      INTEGER,
    command_line   TEXT NOT NULL,        -- JSON array
    last_seq       INTEGER NOT NULL      -- events up to this number are taken
) STRICT;
CREATE INDEX runs_by_key ON runs (run_key);

CREATE TABLE epochs (
    run_id            TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch             INTEGER NOT NULL,  -- from 1
    train_loss        REAL NOT NULL,
    train_accuracy    REAL NOT NULL,
    held_out_part     TEXT NOT NULL CHECK (held_out_part IN ('validation', 'test')),
    held_out_loss     REAL NOT NULL,
    held_out_accuracy REAL NOT NULL,
    learning_rate     REAL NOT NULL,
    seconds           REAL NOT NULL,
    images_per_second REAL NOT NULL,
    weights_hash      TEXT NOT NULL,     -- BLAKE3 of the weights after the epoch
    PRIMARY KEY (run_id, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE images (
    id           INTEGER PRIMARY KEY,
    fingerprint  TEXT NOT NULL,          -- of the data that the image belongs to
    name         TEXT NOT NULL,          -- path in the source
    label        INTEGER NOT NULL CHECK (label IN (0, 1)),
    content_hash TEXT NOT NULL,
    UNIQUE (fingerprint, name)
) STRICT;

CREATE TABLE splits (
    split_hash TEXT NOT NULL,
    image_id   INTEGER NOT NULL REFERENCES images (id),
    part       TEXT NOT NULL CHECK (part IN ('train', 'validation', 'test')),
    PRIMARY KEY (split_hash, image_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE predictions (
    run_id      TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    image_id    INTEGER NOT NULL REFERENCES images (id),
    probability REAL NOT NULL,           -- of class 1
    PRIMARY KEY (run_id, image_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE confusion (
    run_id    TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    label     INTEGER NOT NULL CHECK (label IN (0, 1)),
    predicted INTEGER NOT NULL CHECK (predicted IN (0, 1)),
    images    INTEGER NOT NULL,
    PRIMARY KEY (run_id, label, predicted)
) STRICT, WITHOUT ROWID;

CREATE TABLE roc_points (
    run_id              TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position            INTEGER NOT NULL, -- from 0, at (0, 0)
    threshold           REAL,             -- NULL at (0, 0)
    false_positive_rate REAL NOT NULL,
    true_positive_rate  REAL NOT NULL,
    PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    value  REAL NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    run_id      TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,           -- file in results/runs/<run id>/
    description TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;

-- One line a run, with the figures that people ask for first.
CREATE VIEW run_summary AS
SELECT
    runs.id, experiments.name, runs.status, runs.seed, runs.backend, runs.started_at, runs.finished_at, runs.seconds,
    runs.parameters, runs.fingerprint, runs.split_hash, runs.message, runs.class_0, runs.class_1,
    (SELECT count(*) FROM epochs WHERE run_id = runs.id) AS epochs,
    (SELECT held_out_accuracy FROM epochs WHERE run_id = runs.id AND held_out_part = 'validation'
        ORDER BY epoch DESC LIMIT 1) AS validation_accuracy,
    (SELECT held_out_loss FROM epochs WHERE run_id = runs.id AND held_out_part = 'validation'
        ORDER BY epoch DESC LIMIT 1) AS validation_loss,
    max(CASE metrics.name WHEN 'accuracy' THEN value END) AS accuracy,
    max(CASE metrics.name WHEN 'accuracy_low' THEN value END) AS accuracy_low,
    max(CASE metrics.name WHEN 'accuracy_high' THEN value END) AS accuracy_high,
    max(CASE metrics.name WHEN 'naive_class' THEN value END) AS naive_class,
    max(CASE metrics.name WHEN 'naive_accuracy' THEN value END) AS naive_accuracy,
    max(CASE metrics.name WHEN 'p_naive' THEN value END) AS p_naive,
    max(CASE metrics.name WHEN 'auc' THEN value END) AS auc,
    max(CASE metrics.name WHEN 'log_loss' THEN value END) AS log_loss,
    max(CASE metrics.name WHEN 'brier' THEN value END) AS brier,
    CAST(max(CASE metrics.name WHEN 'test_images' THEN value END) AS INTEGER) AS test_images
FROM runs
JOIN experiments ON experiments.id = runs.experiment_id
LEFT JOIN metrics ON metrics.run_id = runs.id
GROUP BY runs.id;
