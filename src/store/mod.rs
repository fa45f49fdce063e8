//! SQLite: what every run did and what it is worth. Knows no network.
//!
//! Only the coordinator writes, and it writes nothing but what event files say, so the store can always be made again
//! from `results/runs/`. The schema is in `migrations/`; plain SQL from outside is welcome.

mod ingest;
mod optuna;
mod page;
mod query;
mod sweeps;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use thiserror::Error;

pub use optuna::write_optuna;
pub use page::{Annotation, Listing, NamedRuns, SortKey};
pub use query::{Predictions, RunDetail, RunSummary};
pub use sweeps::{KnownRun, Measured};

/// How long to wait for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The store could not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened, or is not a store.
    #[error("The store {} cannot be opened: {reason}. Name another with --db or EMO_DB.", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system said.
        reason: String,
    },
    /// There is no store yet.
    #[error("There is no store at {} yet. Run an experiment first: emo-runner run experiments/quick.toml", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "The store {} was written by a newer emo-runner (schema {found}, this version knows {known}). Use that \
         version, or another store.", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: usize,
        /// The newest that this build knows.
        known: usize,
    },
    /// A statement failed.
    #[error("The store answered with an error: {0}.")]
    Sql(#[from] rusqlite::Error),
    /// A `--where` or `--sort` that SQLite does not understand.
    #[error("`{expression}` is not something to select or sort runs by: {reason}. Columns are: {columns}.")]
    Expression {
        /// What was given.
        expression: String,
        /// What SQLite said.
        reason: String,
        /// Columns of the summary.
        columns: String,
    },
    /// A RUN that names none.
    #[error("No run is called `{0}`. `emo-runner report` lists the runs.")]
    NoSuchRun(String),
    /// A RUN that names several.
    #[error("`{name}` could be any of these runs: {candidates}. Give more of the id.")]
    Ambiguous {
        /// What was given.
        name: String,
        /// Ids that begin so.
        candidates: String,
    },
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

fn migrations() -> Vec<M<'static>> {
    vec![
        M::up(include_str!("migrations/0001_runs.sql")),
        M::up(include_str!("migrations/0002_sweeps.sql")),
        M::up(include_str!("migrations/0003_points.sql")),
        M::up(include_str!("migrations/0004_trust.sql")),
        M::up(include_str!("migrations/0005_page.sql")),
    ]
}

impl Store {
    /// Opens the store, making it and its folder if need be, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::Newer`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = |reason: String| StoreError::Open { path: path.to_owned(), reason };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| open(error.to_string()))?;
        }
        let mut connection = Connection::open(path).map_err(|error| open(error.to_string()))?;
        // Two programs that make the same store at once take turns. Where folders cannot be locked, they are alone.
        let folder = path.parent().and_then(|folder| std::fs::File::open(folder).ok());
        let _turn = folder.map(|folder| folder.lock().map(|()| folder));
        prepare(&mut connection).map_err(|error| match error {
            rusqlite_migration::Error::MigrationDefinition(
                rusqlite_migration::MigrationDefinitionError::DatabaseTooFarAhead,
            ) => StoreError::Newer {
                path: path.to_owned(),
                found: connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap_or_default(),
                known: migrations().len(),
            },
            error => open(error.to_string()),
        })?;
        Ok(Self { connection })
    }

    /// A store that lives as long as the process.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::open(Path::new(":memory:"))
    }

    /// Opens a store that is there already, as `report` and `show` do.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none; else as [`Store::open`].
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        if path.exists() { Self::open(path) } else { Err(StoreError::Missing { path: path.to_owned() }) }
    }

    /// Schema version of the store at `path`, for `doctor`.
    ///
    /// # Errors
    /// When there is no store or it cannot be read.
    pub fn schema_version(path: &Path) -> Result<u32, StoreError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
    }

    /// Forgets every run, for a rebuild from the run folders.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for table in ["runs", "experiments", "splits", "images"] {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        Ok(transaction.commit()?)
    }
}

fn prepare(connection: &mut Connection) -> Result<(), rusqlite_migration::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Migrations::new(migrations()).to_latest(connection)
}
