-- What people write beside a run; kept in the run's folder too, as annotation.json.
CREATE TABLE annotations (
    run_id   TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    tags     TEXT NOT NULL,               -- JSON array
    note     TEXT NOT NULL,
    archived INTEGER NOT NULL CHECK (archived IN (0, 1))
) STRICT, WITHOUT ROWID;

-- The newest of very many runs, without reading them all.
CREATE INDEX runs_by_start ON runs (started_at, id);
