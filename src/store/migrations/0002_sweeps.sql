-- What sweeps need: what they varied, what they choose by, what a run needed.
ALTER TABLE epochs ADD COLUMN held_out_auc REAL;
ALTER TABLE runs ADD COLUMN point TEXT NOT NULL DEFAULT '';  -- what a sweep varied, in words
ALTER TABLE runs ADD COLUMN peak_memory INTEGER;             -- bytes that the worker held at most
ALTER TABLE runs ADD COLUMN validation_loss REAL;            -- after the last epoch, where there is a validation set
ALTER TABLE runs ADD COLUMN validation_accuracy REAL;
ALTER TABLE runs ADD COLUMN validation_auc REAL;
UPDATE runs SET (validation_loss, validation_accuracy) =
    (SELECT held_out_loss, held_out_accuracy FROM epochs WHERE run_id = runs.id AND held_out_part = 'validation'
        ORDER BY epoch DESC LIMIT 1);

-- The best of very many runs, without reading them all.
CREATE INDEX runs_by_validation ON runs (status, validation_accuracy, validation_loss);
CREATE INDEX metrics_by_value ON metrics (name, value);

DROP VIEW run_summary;
-- One line a run, with the figures that people ask for first.
CREATE VIEW run_summary AS
SELECT
    runs.id, experiments.name, runs.point, runs.status, runs.seed, runs.backend, runs.started_at, runs.finished_at,
    runs.seconds, runs.parameters, runs.fingerprint, runs.split_hash, runs.message, runs.class_0, runs.class_1,
    runs.peak_memory, runs.validation_accuracy, runs.validation_loss, runs.validation_auc,
    (SELECT count(*) FROM epochs WHERE run_id = runs.id) AS epochs,
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
