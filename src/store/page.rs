//! What the page asks: a few of very many runs at a time, and what people wrote beside them.

use std::path::Path;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{RunSummary, Store, StoreError};

/// What a list of runs is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortKey {
    /// Begin of the first attempt.
    #[default]
    Started,
    /// Name of the experiment and what a sweep varied.
    Name,
    /// Status.
    Status,
    /// Accuracy on the validation set after the last epoch.
    ValidationAccuracy,
    /// Accuracy on the test set.
    Accuracy,
    /// Area under the ROC curve on the test set.
    Auc,
    /// Exact McNemar p against the naive answer.
    PNaive,
    /// Seconds of training and evaluation.
    Seconds,
    /// Seed.
    Seed,
}

impl SortKey {
    /// Name of the metric, or the columns.
    fn sql(self) -> Result<&'static str, &'static str> {
        match self {
            Self::Accuracy => Ok("accuracy"),
            Self::Auc => Ok("auc"),
            Self::PNaive => Ok("p_naive"),
            Self::Started => Err("runs.started_at"),
            Self::Name => Err("experiments.name || ' ' || runs.point"),
            Self::Status => Err("runs.status"),
            Self::ValidationAccuracy => Err("runs.validation_accuracy"),
            Self::Seconds => Err("runs.seconds"),
            Self::Seed => Err("runs.seed"),
        }
    }
}

/// Which runs, in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Text in the id, the name, the point, the message, a tag or the note; empty for all.
    pub text: String,
    /// One status; empty for all.
    pub status: String,
    /// Archived runs too.
    pub archived: bool,
    /// Sorted by.
    pub sort: SortKey,
    /// Largest first.
    pub descending: bool,
    /// So many are passed over.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// What people wrote beside a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Short words to find it by.
    pub tags: Vec<String>,
    /// Anything.
    pub note: String,
    /// Out of sight unless asked for.
    pub archived: bool,
}

/// An experiment by name, with its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRuns {
    /// Name of the experiment.
    pub name: String,
    /// Its runs.
    pub runs: usize,
    /// How many are completed.
    pub completed: usize,
    /// How many are running.
    pub running: usize,
    /// Points that a sweep made of it.
    pub points: usize,
    /// Begin of the newest run.
    pub newest: String,
}

impl Store {
    /// Opens a store for reading only; a coordinator may write meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Sql`].
    pub fn reader(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Ok(Self { connection: Self::open_to_read(path)? })
    }

    /// Some runs of a listing, and how many it has in all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, listing: &Listing) -> Result<(Vec<RunSummary>, usize), StoreError> {
        let metric = listing.sort.sql();
        let key = metric.map_or_else(|columns| columns, |_| "metrics.value");
        let direction = if listing.descending { "DESC" } else { "ASC" };
        // Joined only where a question needs it: counting 100,000 runs should not look up as many names.
        let texts = !listing.text.is_empty() || !listing.status.is_empty();
        let mut filter = String::from("1");
        if !listing.archived {
            filter += " AND runs.id NOT IN (SELECT run_id FROM annotations WHERE archived = 1)";
        }
        if texts {
            filter += " AND (?2 = '' OR runs.status = ?2) AND (?1 = '' OR instr(lower(runs.id || ' ' || experiments.name || ' ' || runs.point
                || ' ' || coalesce(runs.message, '') || ' ' || experiments.tags
                || ' ' || coalesce((SELECT tags || ' ' || note FROM annotations WHERE run_id = runs.id), '')), lower(?1)) > 0)";
        } else {
            filter += " AND ?1 = ?2";
        }
        let experiments = "JOIN experiments ON experiments.id = runs.experiment_id";
        let values = params![listing.text, listing.status];
        let count = format!("SELECT count(*) FROM runs {} WHERE {filter}", if texts { experiments } else { "" });
        let total: i64 = self.connection.prepare_cached(&count)?.query_row(values, |row| row.get(0))?;
        let value = metric.map_or_else(
            |_| String::new(),
            |name| format!("LEFT JOIN metrics ON metrics.run_id = runs.id AND metrics.name = '{name}'"),
        );
        // Without a value last, whatever the direction; of the start every run has one, and its index is used.
        let missing = if listing.sort == SortKey::Started { String::new() } else { format!("{key} IS NULL, ") };
        let sql = format!(
            "SELECT runs.id FROM runs {experiments} {value} WHERE {filter}
             ORDER BY {missing}{key} {direction}, runs.id {direction} LIMIT {} OFFSET {}",
            listing.limit, listing.offset
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let ids = statement.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.summary(&id)?);
        }
        Ok((found, usize::try_from(total).unwrap_or_default()))
    }

    /// Experiments by name, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn named_runs(&self) -> Result<Vec<NamedRuns>, StoreError> {
        let sql = "SELECT experiments.name, count(*), sum(runs.status = 'completed'), sum(runs.status = 'running'),
                       count(DISTINCT runs.point_key), max(runs.started_at)
                   FROM runs JOIN experiments ON experiments.id = runs.experiment_id
                   GROUP BY experiments.name ORDER BY max(runs.started_at) DESC";
        let count = |value: i64| usize::try_from(value).unwrap_or_default();
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(NamedRuns {
                name: row.get(0)?,
                runs: count(row.get(1)?),
                completed: count(row.get(2)?),
                running: count(row.get(3)?),
                points: count(row.get(4)?),
                newest: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Runs of the experiments with a name, at most `limit`, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs_named(&self, name: &str, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        let sql = format!(
            "SELECT runs.id FROM runs JOIN experiments ON experiments.id = runs.experiment_id
             WHERE experiments.name = ?1 ORDER BY runs.started_at, runs.id LIMIT {limit}"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let ids = statement.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.summary(&id)?);
        }
        Ok(found)
    }

    /// What people wrote beside a run.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn annotation(&self, id: &str) -> Result<Annotation, StoreError> {
        let sql = "SELECT tags, note, archived FROM annotations WHERE run_id = ?1";
        let found = self.connection.prepare_cached(sql)?.query_row([id], |row| {
            let tags: String = row.get(0)?;
            Ok(Annotation {
                tags: serde_json::from_str(&tags).unwrap_or_default(),
                note: row.get(1)?,
                archived: row.get(2)?,
            })
        });
        Ok(found.optional()?.unwrap_or_default())
    }

    /// Keeps what people wrote beside a run.
    ///
    /// # Errors
    /// When the store cannot be written, or has no such run.
    pub fn annotate(&self, id: &str, annotation: &Annotation) -> Result<(), StoreError> {
        let tags = serde_json::json!(annotation.tags).to_string();
        self.connection.execute(
            "INSERT OR REPLACE INTO annotations (run_id, tags, note, archived) VALUES (?1, ?2, ?3, ?4)",
            params![id, tags, annotation.note, annotation.archived],
        )?;
        Ok(())
    }
}
