-- How far the data allow a result to be trusted.
ALTER TABLE runs ADD COLUMN leaked INTEGER;        -- test images that look like a training image
ALTER TABLE runs ADD COLUMN ceiling REAL;          -- accuracy that contradicting labels of the same pictures allow
ALTER TABLE runs ADD COLUMN ceiling_low REAL;      -- its 95 % interval
ALTER TABLE runs ADD COLUMN ceiling_high REAL;

DROP VIEW run_summary;
-- One line a run, with the figures that people ask for first.
CREATE VIEW run_summary AS
SELECT
    runs.id, experiments.name, runs.point, runs.status, runs.seed, runs.backend, runs.started_at, runs.finished_at,
    runs.seconds, runs.parameters, runs.fingerprint, runs.split_hash, runs.message, runs.class_0, runs.class_1,
    runs.peak_memory, runs.point_key, runs.leaked, runs.ceiling, runs.ceiling_low, runs.ceiling_high,
    runs.validation_accuracy, runs.validation_loss, runs.validation_auc,
    (SELECT count(*) FROM epochs WHERE run_id = runs.id) AS epochs,
    max(CASE metrics.name WHEN 'accuracy' THEN value END) AS accuracy,
    max(CASE metrics.name WHEN 'accuracy_low' THEN value END) AS accuracy_low,
    max(CASE metrics.name WHEN 'accuracy_high' THEN value END) AS accuracy_high,
    max(CASE metrics.name WHEN 'naive_class' THEN value END) AS naive_class,
    max(CASE metrics.name WHEN 'naive_accuracy' THEN value END) AS naive_accuracy,
    max(CASE metrics.name WHEN 'p_naive' THEN value END) AS p_naive,
    max(CASE metrics.name WHEN 'auc' THEN value END) AS auc,
    max(CASE metrics.name WHEN 'auc_low' THEN value END) AS auc_low,
    max(CASE metrics.name WHEN 'auc_high' THEN value END) AS auc_high,
    max(CASE metrics.name WHEN 'average_precision' THEN value END) AS average_precision,
    max(CASE metrics.name WHEN 'calibration_error' THEN value END) AS calibration_error,
    max(CASE metrics.name WHEN 'log_loss' THEN value END) AS log_loss,
    max(CASE metrics.name WHEN 'brier' THEN value END) AS brier,
    max(CASE metrics.name WHEN 'tuned_threshold' THEN value END) AS tuned_threshold,
    max(CASE metrics.name WHEN 'tuned_accuracy' THEN value END) AS tuned_accuracy,
    CAST(max(CASE metrics.name WHEN 'test_images' THEN value END) AS INTEGER) AS test_images
FROM runs
JOIN experiments ON experiments.id = runs.experiment_id
LEFT JOIN metrics ON metrics.run_id = runs.id
GROUP BY runs.id;
