//! Questions asked of the store, one function each.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::{Store, StoreError};
use crate::evaluate::{Evaluation, Interval};
use crate::events::{Epoch, Part, Score};

/// A line of `report`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// Run id.
    pub id: String,
    /// Name of the experiment.
    pub name: String,
    /// What a sweep varied, in words; empty outside a sweep.
    pub point: String,
    /// `completed`, `running` and so on.
    pub status: String,
    /// Seed of the experiment.
    pub seed: i64,
    /// Backend with its version.
    pub backend: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; `None` while it runs.
    pub finished_at: Option<String>,
    /// Training and evaluation.
    pub seconds: Option<f64>,
    /// Complete epochs.
    pub epochs: i64,
    /// Trainable parameters.
    pub parameters: Option<i64>,
    /// Accuracy on the validation set after the last epoch, where there is one.
    pub validation_accuracy: Option<f64>,
    /// Loss on the validation set after the last epoch, where there is one.
    pub validation_loss: Option<f64>,
    /// Area under the ROC curve on the validation set after the last epoch, where there is one.
    pub validation_auc: Option<f64>,
    /// Accuracy on the test set.
    pub accuracy: Option<f64>,
    /// Lower end of Wilson's 95 % interval.
    pub accuracy_low: Option<f64>,
    /// Upper end.
    pub accuracy_high: Option<f64>,
    /// Accuracy of always answering the training set's more frequent class.
    pub naive_accuracy: Option<f64>,
    /// Exact McNemar p against that.
    pub p_naive: Option<f64>,
    /// The same, adjusted by Holm over the runs that are listed together.
    pub p_naive_adjusted: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Lower end of DeLong's 95 % interval for the area.
    pub auc_low: Option<f64>,
    /// Upper end.
    pub auc_high: Option<f64>,
    /// Average precision of class 1.
    pub average_precision: Option<f64>,
    /// Brier score.
    pub brier: Option<f64>,
    /// Expected calibration error.
    pub calibration_error: Option<f64>,
    /// Images of the test set.
    pub test_images: Option<u64>,
    /// Test images that look like a training image.
    pub leaked: Option<u64>,
    /// The accuracy that contradicting labels of the same pictures allow.
    pub ceiling: Option<f64>,
    /// Lower end of its 95 % interval.
    pub ceiling_low: Option<f64>,
    /// Upper end.
    pub ceiling_high: Option<f64>,
    /// The threshold that is best on the validation set.
    pub tuned_threshold: Option<f64>,
    /// Accuracy on the test set at that threshold.
    pub tuned_accuracy: Option<f64>,
    /// Most memory that the worker held, in bytes.
    pub peak_memory: Option<u64>,
    /// Why it failed, diverged or stopped early.
    pub message: Option<String>,
    /// BLAKE3 of the data.
    pub fingerprint: Option<String>,
    /// BLAKE3 of the split.
    pub split_hash: Option<String>,
    /// Equal for runs that differ in seed or fold only.
    pub point_key: String,
}

const SUMMARY_COLUMNS: &str = "id, name, point, status, seed, backend, started_at, finished_at, seconds, epochs, \
     parameters, validation_accuracy, validation_loss, validation_auc, accuracy, accuracy_low, accuracy_high, \
     naive_accuracy, p_naive, auc, auc_low, auc_high, average_precision, brier, calibration_error, test_images, leaked, \
     ceiling, ceiling_low, ceiling_high, tuned_threshold, tuned_accuracy, peak_memory, message, fingerprint, split_hash, point_key";

impl RunSummary {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            point: row.get("point")?,
            status: row.get("status")?,
            seed: row.get("seed")?,
            backend: row.get("backend")?,
            started_at: row.get("started_at")?,
            finished_at: row.get("finished_at")?,
            seconds: row.get("seconds")?,
            epochs: row.get("epochs")?,
            parameters: row.get("parameters")?,
            validation_accuracy: row.get("validation_accuracy")?,
            validation_loss: row.get("validation_loss")?,
            validation_auc: row.get("validation_auc")?,
            accuracy: row.get("accuracy")?,
            accuracy_low: row.get("accuracy_low")?,
            accuracy_high: row.get("accuracy_high")?,
            naive_accuracy: row.get("naive_accuracy")?,
            p_naive: row.get("p_naive")?,
            p_naive_adjusted: row.get("p_naive")?,
            auc: row.get("auc")?,
            auc_low: row.get("auc_low")?,
            auc_high: row.get("auc_high")?,
            average_precision: row.get("average_precision")?,
            brier: row.get("brier")?,
            calibration_error: row.get("calibration_error")?,
            test_images: row.get("test_images")?,
            leaked: row.get("leaked")?,
            ceiling: row.get("ceiling")?,
            ceiling_low: row.get("ceiling_low")?,
            ceiling_high: row.get("ceiling_high")?,
            tuned_threshold: row.get("tuned_threshold")?,
            tuned_accuracy: row.get("tuned_accuracy")?,
            peak_memory: row.get("peak_memory")?,
            message: row.get("message")?,
            fingerprint: row.get("fingerprint")?,
            split_hash: row.get("split_hash")?,
            point_key: row.get("point_key")?,
        })
    }

    /// Wilson's interval, of a completed run.
    pub fn accuracy_interval(&self) -> Option<Interval> {
        Some(Interval { low: self.accuracy_low?, high: self.accuracy_high? })
    }
}

/// Everything that `show` tells about one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunDetail {
    /// Its line of the report.
    pub summary: RunSummary,
    /// Names of class 0 and 1, once the data were read.
    pub classes: Option<[String; 2]>,
    /// Its metrics, when it is completed.
    pub evaluation: Option<Evaluation>,
    /// Its history.
    pub epochs: Vec<Epoch>,
    /// Files and what they are.
    pub artifacts: Vec<(String, String)>,
    /// Version, platform, threads, host, commit, command line: name and value.
    pub environment: Vec<(String, String)>,
    /// The resolved experiment file.
    pub experiment: String,
}

/// The test set of a run: one entry for each image, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// Numbers of the images in the store; the same number is the same image of the same data.
    pub images: Vec<i64>,
    /// Their names.
    pub names: Vec<String>,
    /// Whether they are of class 1.
    pub labels: Vec<bool>,
    /// Their probabilities of class 1.
    pub probabilities: Vec<f64>,
}

impl Store {
    /// The predictions of a run; none before it is completed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn predictions(&self, id: &str) -> Result<Predictions, StoreError> {
        let sql = "SELECT images.id, images.name, images.label, predictions.probability FROM predictions
                   JOIN images ON images.id = predictions.image_id WHERE run_id = ?1 ORDER BY images.name";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([id])?;
        let mut found = Predictions::default();
        while let Some(row) = rows.next()? {
            found.images.push(row.get(0)?);
            found.names.push(row.get(1)?);
            found.labels.push(row.get::<_, i64>(2)? == 1);
            found.probabilities.push(row.get(3)?);
        }
        Ok(found)
    }

    /// Mean probability of class 1 of every image of a data set over the completed runs that tested on it: name, mean, runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mean_predictions(&self, fingerprint: &str) -> Result<Vec<(String, f64, usize)>, StoreError> {
        let sql = "SELECT images.name, avg(probability), count(*) FROM predictions
                   JOIN images ON images.id = predictions.image_id JOIN runs ON runs.id = predictions.run_id
                   WHERE images.fingerprint = ?1 AND runs.status = 'completed' GROUP BY images.id ORDER BY images.name";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([fingerprint], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs() as usize))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Lines of the report, selected by an SQL expression over the `run_summary` view and sorted by another.
    ///
    /// # Errors
    /// [`StoreError::Expression`] when SQLite does not understand one of them.
    pub fn summaries(&self, filter: Option<&str>, sort: Option<&str>) -> Result<Vec<RunSummary>, StoreError> {
        let sql = format!(
            "SELECT {SUMMARY_COLUMNS} FROM run_summary WHERE ({}) ORDER BY {} started_at, id",
            filter.unwrap_or("1"),
            sort.map(|key| format!("{key}, ")).unwrap_or_default()
        );
        // The expression comes from the command line; it may read, and nothing else.
        self.connection.pragma_update(None, "query_only", true)?;
        let answer = (|| {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map([], RunSummary::from_row)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })();
        self.connection.pragma_update(None, "query_only", false)?;
        answer.map_err(|error| match (filter, sort) {
            (None, None) => error.into(),
            _ => StoreError::Expression {
                expression: filter.or(sort).unwrap_or_default().to_owned(),
                // Our own statement around it says nothing to the user.
                reason: match error {
                    rusqlite::Error::SqlInputError { msg, .. } => msg,
                    error => error.to_string(),
                },
                columns: SUMMARY_COLUMNS.to_owned(),
            },
        })
    }

    /// The run that stands first in an honest ranking, or `None` without a completed run.
    ///
    /// Chosen by validation accuracy where every completed run has one, else by test accuracy.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn best(&self, filter: Option<&str>) -> Result<Option<RunSummary>, StoreError> {
        if filter.is_none() {
            return self.best_of_all();
        }
        let mut runs = self.summaries(filter, None)?;
        runs.retain(|run| run.status == "completed");
        let by_validation = runs.iter().all(|run| run.validation_accuracy.is_some());
        let score = |run: &RunSummary| if by_validation { run.validation_accuracy } else { run.accuracy };
        let tie = |run: &RunSummary| if by_validation { run.validation_loss.map(|loss| -loss) } else { run.auc };
        let key = |run: &RunSummary| [score(run), tie(run)].map(|value| value.unwrap_or(f64::NEG_INFINITY));
        Ok(runs.into_iter().reduce(|best, run| if key(&run) > key(&best) { run } else { best }))
    }

    /// The best of all runs, by indices alone: there may be very many.
    fn best_of_all(&self) -> Result<Option<RunSummary>, StoreError> {
        let unchosen = "SELECT EXISTS (SELECT 1 FROM runs WHERE status = 'completed' AND validation_accuracy IS NULL)";
        let by_validation = "SELECT id FROM runs WHERE status = 'completed'
             ORDER BY validation_accuracy DESC, validation_loss, started_at, id LIMIT 1";
        let by_test = "SELECT runs.id FROM metrics JOIN runs ON runs.id = metrics.run_id
             LEFT JOIN metrics AS area ON area.run_id = runs.id AND area.name = 'auc'
             WHERE metrics.name = 'accuracy' AND runs.status = 'completed'
                 AND metrics.value = (SELECT max(value) FROM metrics WHERE name = 'accuracy')
             ORDER BY area.value DESC, started_at, runs.id LIMIT 1";
        let by_test_only: bool = self.connection.query_row(unchosen, [], |row| row.get(0))?;
        let sql = if by_test_only { by_test } else { by_validation };
        let id: Option<String> = self.connection.query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(id.map(|id| self.summary(&id)).transpose()?.flatten())
    }

    /// Test accuracies of the completed runs on one data set for which an SQL expression over the `run_summary` view holds;
    /// forced repetitions of a run count once.
    ///
    /// # Errors
    /// See [`Store::summaries`].
    pub fn accuracies(&self, fingerprint: Option<&str>, filter: Option<&str>) -> Result<Vec<f64>, StoreError> {
        let allowed: Option<HashSet<String>> = match filter {
            Some(_) => Some(self.summaries(filter, None)?.into_iter().map(|run| run.id).collect()),
            None => None,
        };
        // Of very many runs only these columns are read.
        let sql = "SELECT runs.id, runs.run_key, metrics.value FROM metrics JOIN runs ON runs.id = metrics.run_id
                   WHERE metrics.name = 'accuracy' AND runs.status = 'completed' AND runs.fingerprint IS ?1";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([fingerprint])?;
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let (id, run_key): (String, String) = (row.get(0)?, row.get(1)?);
            if allowed.as_ref().is_none_or(|allowed| allowed.contains(&id)) && seen.insert(run_key) {
                found.push(row.get(2)?);
            }
        }
        Ok(found)
    }

    /// One line of the report, by its id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn summary(&self, id: &str) -> Result<Option<RunSummary>, StoreError> {
        let sql = format!("SELECT {SUMMARY_COLUMNS} FROM run_summary WHERE id = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([id], RunSummary::from_row).optional()?)
    }

    /// The id that a RUN argument means: an id, a unique prefix of one, the name of an experiment (its last run), or
    /// `best`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] or [`StoreError::Ambiguous`].
    pub fn resolve(&self, run: &str) -> Result<String, StoreError> {
        if run.is_empty() {
            return Err(StoreError::NoSuchRun(String::new()));
        }
        let exact = "SELECT id FROM runs WHERE id = ?1";
        if let Some(id) = self.connection.query_row(exact, [run], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        if run == "best" {
            let best = self.best(None)?;
            return best.map(|best| best.id).ok_or_else(|| StoreError::NoSuchRun(run.to_owned()));
        }
        let named = "SELECT runs.id FROM runs JOIN experiments ON experiments.id = runs.experiment_id
                     WHERE experiments.name = ?1 ORDER BY runs.started_at DESC, runs.id DESC LIMIT 1";
        if let Some(id) = self.connection.query_row(named, [run], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        let mut statement = self.connection.prepare("SELECT id FROM runs WHERE substr(id, 1, length(?1)) = ?1")?;
        let found = statement.query_map([run], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        match &found[..] {
            [] => Err(StoreError::NoSuchRun(run.to_owned())),
            [id] => Ok(id.clone()),
            several => Err(StoreError::Ambiguous { name: run.to_owned(), candidates: several.join(", ") }),
        }
    }

    /// Ids of the runs that the store believes to be running.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn running(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("SELECT id FROM runs WHERE status = 'running'")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// Ids of all runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ids(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("SELECT id FROM runs")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// Runs that are over, each with how many predictions it has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn results(&self) -> Result<HashSet<(String, String, i64)>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT id, status, (SELECT count(*) FROM predictions WHERE run_id = id) FROM runs
             WHERE status IN ('completed', 'diverged', 'pruned')",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Everything about one run, by its id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] when there is none.
    pub fn detail(&self, id: &str) -> Result<RunDetail, StoreError> {
        let summary = self.summary(id)?.ok_or_else(|| StoreError::NoSuchRun(id.to_owned()))?;
        let classes = self.connection.query_row("SELECT class_0, class_1 FROM runs WHERE id = ?1", [id], |row| {
            let names: (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
            Ok(names.0.zip(names.1).map(|(zero, one)| [zero, one]))
        })?;
        Ok(RunDetail {
            evaluation: self.evaluation(id)?,
            epochs: self.epochs(id)?,
            artifacts: self.artifacts(id)?,
            environment: self.environment(id)?,
            experiment: self.experiment(id)?,
            summary,
            classes,
        })
    }

    /// The evaluation, computed again from the stored predictions; `None` before completion.
    fn evaluation(&self, id: &str) -> Result<Option<Evaluation>, StoreError> {
        let Predictions { labels, probabilities, .. } = self.predictions(id)?;
        let metric = |name: &str| -> Result<Option<f64>, StoreError> {
            let sql = "SELECT value FROM metrics WHERE run_id = ?1 AND name = ?2";
            Ok(self.connection.query_row(sql, [id, name], |row| row.get(0)).optional()?)
        };
        let (naive, threshold) = (metric("naive_class")?, metric("tuned_threshold")?);
        let evaluation = naive.and_then(|naive| Evaluation::of(&labels, &probabilities, usize::from(naive > 0.5)).ok());
        Ok(evaluation.map(|evaluation| evaluation.with_threshold(&labels, &probabilities, threshold)))
    }

    /// The history of a run.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn epochs(&self, id: &str) -> Result<Vec<Epoch>, StoreError> {
        let sql = "SELECT epoch, train_loss, train_accuracy, held_out_part, held_out_loss, held_out_accuracy,
                   learning_rate, seconds, images_per_second, weights_hash, held_out_auc FROM epochs WHERE run_id = ?1 ORDER BY epoch";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([id], |row| {
            let part: String = row.get(3)?;
            Ok(Epoch {
                epoch: row.get::<_, i64>(0)?.unsigned_abs() as usize,
                train: Score { loss: row.get(1)?, accuracy: row.get(2)? },
                held_out_part: if part == "test" { Part::Test } else { Part::Validation },
                held_out: Score { loss: row.get(4)?, accuracy: row.get(5)? },
                learning_rate: row.get(6)?,
                seconds: row.get(7)?,
                images_per_second: row.get(8)?,
                weights_hash: row.get(9)?,
                held_out_auc: row.get(10)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn artifacts(&self, id: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT name, description FROM artifacts WHERE run_id = ?1 ORDER BY name";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn environment(&self, id: &str) -> Result<Vec<(String, String)>, StoreError> {
        const COLUMNS: [&str; 12] = [
            "run_key",
            "version",
            "backend",
            "folded",
            "platform",
            "cpu_features",
            "threads",
            "host",
            "git_commit",
            "git_dirty",
            "attempt",
            "command_line",
        ];
        let sql = format!("SELECT {} FROM runs WHERE id = ?1", COLUMNS.join(", "));
        Ok(self.connection.query_row(&sql, params![id], |row| {
            let mut pairs = Vec::new();
            for (index, column) in COLUMNS.iter().enumerate() {
                let value = match row.get_ref(index)? {
                    rusqlite::types::ValueRef::Null => continue,
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    other if other.as_str() == Ok("") => continue,
                    other => other.as_str().unwrap_or_default().to_owned(),
                };
                pairs.push(((*column).to_owned(), value));
            }
            Ok(pairs)
        })?)
    }

    fn experiment(&self, id: &str) -> Result<String, StoreError> {
        let sql = "SELECT toml FROM experiments JOIN runs ON runs.experiment_id = experiments.id WHERE runs.id = ?1";
        Ok(self.connection.query_row(sql, [id], |row| row.get(0))?)
    }
}
