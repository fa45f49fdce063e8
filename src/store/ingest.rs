//! Event lines become rows. Taking a line twice changes nothing.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Store, StoreError};
use crate::config::Experiment;
use crate::evaluate::Evaluation;
use crate::events::{Completed, DataSummary, Epoch, Event, Line, Part, Started};

impl Store {
    /// Takes the lines of a run that are not taken yet, in one transaction. Lines must be in order.
    ///
    /// # Errors
    /// When the store cannot be written; nothing is taken then.
    pub fn take(&mut self, run: &str, experiment: &Experiment, lines: &[Line]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let taken = last_taken(&transaction, run)?;
        for line in lines.iter().filter(|line| taken.is_none_or(|taken| line.seq > taken)) {
            Taker { transaction: &transaction, run, experiment, time: &line.time }.take(&line.event)?;
            transaction.execute("UPDATE runs SET last_seq = ?2 WHERE id = ?1", params![run, line.seq as i64])?;
        }
        Ok(transaction.commit()?)
    }
}

fn last_taken(connection: &Connection, run: &str) -> Result<Option<u64>, StoreError> {
    let statement = "SELECT last_seq FROM runs WHERE id = ?1";
    let seq: Option<i64> = connection.query_row(statement, [run], |row| row.get(0)).optional()?;
    Ok(seq.and_then(|seq| u64::try_from(seq).ok()))
}

struct Taker<'a> {
    transaction: &'a Transaction<'a>,
    run: &'a str,
    experiment: &'a Experiment,
    time: &'a str,
}

impl Taker<'_> {
    fn take(&self, event: &Event) -> Result<(), StoreError> {
        match event {
            Event::Started(started) => self.started(started),
            Event::Data(data) => self.data(data),
            Event::Model { parameters, folded, .. } => self.execute(
                "UPDATE runs SET parameters = ?2, folded = ?3 WHERE id = ?1",
                params![self.run, *parameters as i64, folded.join("; ")],
            ),
            Event::Decoding { .. } | Event::Progress(_) => Ok(()),
            Event::Epoch(epoch) => self.epoch(epoch),
            Event::Completed(completed) => self.completed(completed),
            Event::Diverged { epoch, step, loss } => {
                self.ended("diverged", Some(format!("the loss was {loss} in epoch {epoch}, step {step}")))
            }
            Event::Interrupted { epochs_done, steps_done, reason } => {
                let by = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let place = format!("stopped after {epochs_done} epochs and {steps_done} steps{by}");
                self.ended("interrupted", Some(format!("{place}; the same command goes on")))
            }
            Event::TimedOut { limit, reason } => {
                let said = reason.clone().unwrap_or_else(|| format!("not done after {limit} s"));
                self.ended("timed_out", Some(format!("{said}; the same command goes on where it was")))
            }
            Event::Pruned { epochs_done, reason } => {
                self.ended("pruned", Some(format!("stopped after {epochs_done} epochs: {reason}")))
            }
            Event::Failed { message, .. } => self.ended("failed", Some(message.clone())),
        }
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        self.transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn started(&self, started: &Started) -> Result<(), StoreError> {
        let experiment = self.experiment;
        self.execute(
            "INSERT INTO experiments (name, description, tags, toml) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (toml) DO NOTHING",
            params![
                experiment.name(),
                experiment.description(),
                serde_json::json!(experiment.tags()).to_string(),
                started.experiment
            ],
        )?;
        let environment = &started.environment;
        self.execute(
            "INSERT INTO runs (id, run_key, experiment_id, status, seed, backend, attempt, started_at, version,
                 numerics, platform, cpu_features, threads, host, git_commit, git_dirty, command_line, point, point_key, last_seq)
             VALUES (?1, ?2, (SELECT id FROM experiments WHERE toml = ?3), 'running', ?4, ?5, ?6, ?7, ?8, ?9, ?10,
                 ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, -1)
             ON CONFLICT (id) DO UPDATE SET status = 'running', backend = excluded.backend,
                 attempt = excluded.attempt, finished_at = NULL, message = NULL, version = excluded.version,
                 platform = excluded.platform, cpu_features = excluded.cpu_features, threads = excluded.threads,
                 host = excluded.host, git_commit = excluded.git_commit, git_dirty = excluded.git_dirty,
                 command_line = excluded.command_line",
            params![
                self.run,
                started.run_key,
                started.experiment,
                experiment.seed() as i64,
                environment.backend,
                started.attempt as i64,
                self.time,
                environment.version,
                environment.numerics,
                environment.platform,
                environment.cpu_features,
                environment.threads as i64,
                environment.host,
                environment.commit,
                environment.dirty,
                serde_json::json!(environment.command_line).to_string(),
                started.point,
                started.point_key,
            ],
        )
    }

    fn data(&self, data: &DataSummary) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runs SET fingerprint = ?2, split_hash = ?3, class_0 = ?4, class_1 = ?5, broken_images = ?6,
                 leaked = ?7, ceiling = ?8, ceiling_low = ?9, ceiling_high = ?10 WHERE id = ?1",
            params![
                self.run,
                data.fingerprint,
                data.split_hash,
                data.classes[0],
                data.classes[1],
                data.broken.len() as i64,
                data.leaked as i64,
                data.ceiling.map(|ceiling| ceiling.accuracy),
                data.ceiling.map(|ceiling| ceiling.interval.low),
                data.ceiling.map(|ceiling| ceiling.interval.high),
            ],
        )?;
        // Most runs of a sweep share their data and their split.
        let known = "SELECT 1 FROM splits JOIN images ON images.id = image_id
                     WHERE split_hash = ?1 AND fingerprint = ?2 LIMIT 1";
        if self.transaction.prepare_cached(known)?.exists(params![data.split_hash, data.fingerprint])? {
            return Ok(());
        }
        for image in &data.images {
            self.execute(
                "INSERT INTO images (fingerprint, name, label, content_hash) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (fingerprint, name) DO NOTHING",
                params![data.fingerprint, image.name, image.label as i64, image.content_hash],
            )?;
            self.execute(
                "INSERT INTO splits (split_hash, image_id, part)
                 VALUES (?1, (SELECT id FROM images WHERE fingerprint = ?2 AND name = ?3), ?4)
                 ON CONFLICT (split_hash, image_id) DO NOTHING",
                params![data.split_hash, data.fingerprint, image.name, image.part.name()],
            )?;
        }
        Ok(())
    }

    fn epoch(&self, epoch: &Epoch) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO epochs (run_id, epoch, train_loss, train_accuracy, held_out_part, held_out_loss,
                 held_out_accuracy, learning_rate, seconds, images_per_second, weights_hash, held_out_auc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                self.run,
                epoch.epoch as i64,
                epoch.train.loss,
                epoch.train.accuracy,
                epoch.held_out_part.name(),
                epoch.held_out.loss,
                epoch.held_out.accuracy,
                epoch.learning_rate,
                epoch.seconds,
                epoch.images_per_second,
                epoch.weights_hash,
                epoch.held_out_auc
            ],
        )?;
        if epoch.held_out_part != Part::Validation {
            return Ok(());
        }
        self.execute(
            "UPDATE runs SET validation_loss = ?2, validation_accuracy = ?3, validation_auc = ?4 WHERE id = ?1",
            params![self.run, epoch.held_out.loss, epoch.held_out.accuracy, epoch.held_out_auc],
        )
    }

    fn completed(&self, completed: &Completed) -> Result<(), StoreError> {
        self.ended("completed", completed.stopped_early.clone())?;
        self.execute(
            "UPDATE runs SET seconds = ?2, peak_memory = ?3 WHERE id = ?1",
            params![self.run, completed.seconds, completed.peak_memory.and_then(|bytes| i64::try_from(bytes).ok())],
        )?;
        for prediction in &completed.predictions {
            self.execute(
                "INSERT OR REPLACE INTO predictions (run_id, image_id, probability)
                 SELECT runs.id, images.id, ?3 FROM runs JOIN images ON images.fingerprint = runs.fingerprint
                 WHERE runs.id = ?1 AND images.name = ?2",
                params![self.run, prediction.name, prediction.probability],
            )?;
        }
        self.evaluation(&completed.evaluation)?;
        for (name, description) in &completed.artifacts {
            self.execute(
                "INSERT OR REPLACE INTO artifacts (run_id, name, description) VALUES (?1, ?2, ?3)",
                params![self.run, name, description],
            )?;
        }
        Ok(())
    }

    fn evaluation(&self, evaluation: &Evaluation) -> Result<(), StoreError> {
        let c = &evaluation.confusion;
        let cells =
            [(0, 0, c.true_negative), (0, 1, c.false_positive), (1, 0, c.false_negative), (1, 1, c.true_positive)];
        for (label, predicted, images) in cells {
            self.execute(
                "INSERT OR REPLACE INTO confusion (run_id, label, predicted, images) VALUES (?1, ?2, ?3, ?4)",
                params![self.run, label, predicted, images as i64],
            )?;
        }
        for (position, point) in evaluation.roc.iter().enumerate() {
            self.execute(
                "INSERT OR REPLACE INTO roc_points (run_id, position, threshold, false_positive_rate,
                     true_positive_rate) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    self.run,
                    position as i64,
                    point.threshold,
                    point.false_positive_rate,
                    point.true_positive_rate
                ],
            )?;
        }
        for (name, value) in metrics(evaluation) {
            if let Some(value) = value {
                self.execute(
                    "INSERT OR REPLACE INTO metrics (run_id, name, value) VALUES (?1, ?2, ?3)",
                    params![self.run, name, value],
                )?;
            }
        }
        Ok(())
    }

    fn ended(&self, status: &str, message: Option<String>) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runs SET status = ?2, message = ?3, finished_at = ?4 WHERE id = ?1",
            params![self.run, status, message, self.time],
        )
    }
}

/// Names and values of the `metrics` table; undefined ones have no row.
fn metrics(evaluation: &Evaluation) -> Vec<(&'static str, Option<f64>)> {
    let [class_0, class_1] = &evaluation.classes;
    let tuned = evaluation.tuned;
    vec![
        ("test_images", Some(evaluation.confusion.total() as f64)),
        ("accuracy", Some(evaluation.accuracy)),
        ("accuracy_low", Some(evaluation.accuracy_interval.low)),
        ("accuracy_high", Some(evaluation.accuracy_interval.high)),
        ("naive_class", Some(evaluation.naive_class as f64)),
        ("naive_accuracy", Some(evaluation.naive_accuracy)),
        ("only_run_right", Some(evaluation.only_run_right as f64)),
        ("only_naive_right", Some(evaluation.only_naive_right as f64)),
        ("p_naive", Some(evaluation.p_naive)),
        ("auc", evaluation.auc),
        ("auc_low", evaluation.auc_interval.map(|interval| interval.low)),
        ("auc_high", evaluation.auc_interval.map(|interval| interval.high)),
        ("average_precision", evaluation.average_precision),
        ("calibration_error", evaluation.calibration_error),
        ("log_loss", Some(evaluation.log_loss)),
        ("brier", Some(evaluation.brier)),
        ("precision_0", class_0.precision),
        ("recall_0", class_0.recall),
        ("f1_0", class_0.f1),
        ("precision_1", class_1.precision),
        ("recall_1", class_1.recall),
        ("f1_1", class_1.f1),
        ("tuned_threshold", tuned.map(|tuned| tuned.threshold)),
        ("tuned_accuracy", tuned.map(|tuned| tuned.accuracy)),
        ("tuned_accuracy_low", tuned.map(|tuned| tuned.accuracy_interval.low)),
        ("tuned_accuracy_high", tuned.map(|tuned| tuned.accuracy_interval.high)),
        ("tuned_p_naive", tuned.map(|tuned| tuned.p_naive)),
    ]
}
