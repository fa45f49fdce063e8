//! What planning a sweep asks of the store.

use std::collections::HashMap;

use rusqlite::OptionalExtension;

use super::{Store, StoreError};

/// What the store knows of the newest run of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRun {
    /// Its id.
    pub id: String,
    /// `completed`, `interrupted` and so on.
    pub status: String,
}

/// What a finished run needed, and for what.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The resolved experiment file.
    pub experiment: String,
    /// Training and evaluation.
    pub seconds: f64,
    /// Threads of the computation.
    pub threads: usize,
    /// Most memory that the worker held, in bytes.
    pub peak_memory: Option<u64>,
    /// Images of the data.
    pub images: usize,
}

impl Store {
    /// The newest run of every run key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known_runs(&self) -> Result<HashMap<String, KnownRun>, StoreError> {
        let sql = "SELECT run_key, id, status FROM runs ORDER BY length(id), id";
        let mut statement = self.connection.prepare(sql)?;
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, KnownRun { id: row.get(1)?, status: row.get(2)? })))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What the last `limit` completed runs needed, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn measured(&self, limit: usize) -> Result<Vec<Measured>, StoreError> {
        let sql = "SELECT toml, seconds, threads, peak_memory,
                       (SELECT count(*) FROM splits WHERE splits.split_hash = runs.split_hash)
                   FROM runs JOIN experiments ON experiments.id = runs.experiment_id
                   WHERE status = 'completed' AND seconds IS NOT NULL ORDER BY runs.rowid DESC LIMIT ?1";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(Measured {
                experiment: row.get(0)?,
                seconds: row.get(1)?,
                threads: row.get::<_, i64>(2)?.unsigned_abs() as usize,
                peak_memory: row.get(3)?,
                images: row.get::<_, i64>(4)?.unsigned_abs() as usize,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Validation loss, accuracy and AUC of a run after its last epoch.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn validation(&self, id: &str) -> Result<[Option<f64>; 3], StoreError> {
        let sql = "SELECT validation_loss, validation_accuracy, validation_auc FROM runs WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let values = statement.query_row([id], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).optional()?;
        Ok(values.unwrap_or_default())
    }
}
