//! SQLite: what every run did and what it is worth. Knows no network.
//!
//! Only the coordinator writes, and it writes nothing but what event files say, so the store can always be made again
//! from `results/runs/`. The schema is in `migrations/`; plain SQL from outside is welcome.

mod ingest;
mod optuna;
mod page;
mod query;
mod sweeps;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
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
    /// Its content is not what SQLite wrote.
    #[error(
        "The store is damaged, or is none: {0}. Every run is whole in its folder: `emo-runner store rebuild` puts the file \
         aside and makes the store anew. Or name another with --db or EMO_DB."
    )]
    Damaged(String),
    /// Another program keeps it to itself.
    #[error(
        "The store is in use: another program has kept it to itself for {wait} s ({0}). End that program, or wait for it, \
         and repeat the command.", wait = BUSY_TIMEOUT.as_secs()
    )]
    Busy(String),
    /// The file or its folder may not be written.
    #[error(
        "The store cannot be written: {0}. Allow writing to the file and to its folder, or name another with --db or \
         EMO_DB."
    )]
    ReadOnly(String),
    /// The disk.
    #[error("The store cannot be written: {0}. Free some space and repeat the command: nothing is lost.")]
    Disk(String),
    /// The copy that is made before a store of an earlier version is changed.
    #[error(
        "The store {} is of an earlier version and must be copied before it is brought up to date, but {} cannot be \
         written: {reason}. Nothing was changed.", path.display(), copy.display()
    )]
    Backup {
        /// The store.
        path: PathBuf,
        /// Its copy.
        copy: PathBuf,
        /// What SQLite or the system said.
        reason: String,
    },
    /// A statement failed.
    #[error("The store answered with an error: {0}.")]
    Sql(rusqlite::Error),
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

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(error.to_string()),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly(error.to_string())
            }
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => Self::Disk(error.to_string()),
            _ => Self::Sql(error),
        }
    }
}

impl StoreError {
    /// The same with the name of the store.
    fn of(self, path: &Path) -> Self {
        let named = |reason: String| format!("{}: {reason}", path.display());
        match self {
            Self::Damaged(reason) => Self::Damaged(named(reason)),
            Self::Busy(reason) => Self::Busy(named(reason)),
            Self::ReadOnly(reason) => Self::ReadOnly(named(reason)),
            Self::Disk(reason) => Self::Disk(named(reason)),
            other => other,
        }
    }
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
        prepare(&mut connection, path).map_err(|error| error.of(path))?;
        Ok(Self { connection })
    }

    /// A store that lives as long as the process.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::open(Path::new(":memory:"))
    }

    /// Opens a store that is there already, as `report` and `show` do; where its folder may not be written, for reading.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none; else as [`Store::open`].
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::Missing { path: path.to_owned() }),
            Err(error) => return Err(StoreError::Open { path: path.to_owned(), reason: error.to_string() }),
        }
        match Self::open(path) {
            Err(StoreError::ReadOnly(reason)) => {
                let connection = Self::open_unchanging(path);
                let current = |connection: &Connection| schema_version(connection) == Ok(migrations().len());
                let connection = connection.filter(current).ok_or(StoreError::ReadOnly(reason))?;
                Ok(Self { connection })
            }
            other => other,
        }
    }

    /// A store where nothing can be written beside it, if it is whole without its log. Whoever may write there must not, meanwhile.
    fn open_unchanging(path: &Path) -> Option<Connection> {
        if std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
            return None;
        }
        let path = std::path::absolute(path).ok()?;
        let name = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).ok()
    }

    /// A store for reading only, wherever it lies.
    fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
        let opened = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            schema_version(&connection)?;
            Ok(connection)
        };
        opened().map_err(|error: rusqlite::Error| StoreError::from(error).of(path)).or_else(|error| match error {
            StoreError::ReadOnly(reason) => Self::open_unchanging(path).ok_or(StoreError::ReadOnly(reason)),
            other => Err(other),
        })
    }

    /// Whether nothing can be written into it.
    pub fn is_read_only(&self) -> bool {
        self.connection.is_readonly("main").unwrap_or(true)
    }

    /// Schema version of the store at `path`, after a look at all its pages, for `doctor`.
    ///
    /// # Errors
    /// When there is no store, it cannot be read, or it is damaged.
    pub fn examine(path: &Path) -> Result<usize, StoreError> {
        let connection = Self::open_to_read(path)?;
        let problem: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if problem != "ok" {
            return Err(StoreError::Damaged(problem));
        }
        Ok(schema_version(&connection)?)
    }

    /// Writes a copy under a name of its own beside the store; returns that name.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn copy_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let copy = free_name(path, "before-rebuild");
        back_up(&self.connection, &copy).map(|()| copy)
    }

    /// Gives a damaged store another name, with what SQLite keeps beside it; returns that name.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
        let aside = free_name(path, "damaged");
        for ending in ["-wal", "-shm", ""] {
            match std::fs::rename(beside(path, ending), beside(&aside, ending)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(aside)
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

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let (found, known) = (schema_version(connection)?, migrations().len());
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if !connection.is_readonly("main")? {
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        let copy = beside(path, &format!(".schema-{found}"));
        back_up(connection, &copy).map_err(|error| match error {
            StoreError::Damaged(_) => error,
            error => StoreError::Backup { path: path.to_owned(), copy: copy.clone(), reason: error.to_string() },
        })?;
        tracing::info!(store = %path.display(), found, known, copy = %copy.display(), "the store is brought up to date");
    }
    Migrations::new(migrations()).to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        error => StoreError::Open { path: path.to_owned(), reason: error.to_string() },
    })
}

fn schema_version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// A whole copy under its name, or none: the migration waits for it.
fn back_up(connection: &Connection, copy: &Path) -> Result<(), StoreError> {
    let part = beside(copy, ".part");
    // Left over from a process that was killed.
    let _ = std::fs::remove_file(&part);
    let copied = connection.execute("VACUUM INTO ?1", [part.to_string_lossy()]).map_err(StoreError::from);
    let named = copied.and_then(|_| {
        std::fs::rename(&part, copy).map_err(|error| StoreError::Disk(format!("{}: {error}", copy.display())))
    });
    if named.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    named
}

/// `emo.db.damaged-1`, or a higher number.
fn free_name(path: &Path, what: &str) -> PathBuf {
    let name = |number: usize| beside(path, &format!(".{what}-{number}"));
    (1..).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(0))
}

/// `emo.db` and an ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
