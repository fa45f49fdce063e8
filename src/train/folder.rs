//! A run's own folder: which files it has, and how they are written and locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `results/runs/<id>/`: a fault domain of its own, from which the store can be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

/// What a worker needs to know besides the experiment: `run.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The run's id, also the folder's name.
    pub id: String,
    /// Identity: what was asked for.
    pub run_key: String,
    /// The same without seed and fold: equal for repeats.
    #[serde(default)]
    pub point_key: String,
    /// Where decoded images are shared between runs.
    pub cache: PathBuf,
    /// Threads of the computation.
    pub threads: usize,
    /// Seconds that a job of a cluster may take, where they are said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<u64>,
    /// The command line that the user typed.
    pub command_line: Vec<String>,
    /// What a sweep varied, in words; empty outside a sweep.
    #[serde(default)]
    pub point: String,
    /// Git commit of the working directory, where it is in a repository, and whether it had uncommitted changes.
    #[serde(default)]
    pub commit: Option<(String, bool)>,
}

impl RunFolder {
    /// The folder at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run's id.
    pub fn id(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The event file.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// The resolved experiment file.
    pub fn experiment(&self) -> PathBuf {
        self.0.join("experiment.toml")
    }

    /// The [`RunSpec`].
    pub fn spec(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// What people wrote beside the run.
    pub fn annotation(&self) -> PathBuf {
        self.0.join("annotation.json")
    }

    /// The worker's log.
    pub fn log(&self) -> PathBuf {
        self.0.join("worker.log")
    }

    /// State of training after the last epoch or at the interruption.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.safetensors")
    }

    /// The trained network.
    pub fn model(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }

    /// The history as a table.
    pub fn history(&self) -> PathBuf {
        self.0.join("history.csv")
    }

    /// Test images with label and probability, as a table.
    pub fn predictions(&self) -> PathBuf {
        self.0.join("predictions.csv")
    }

    /// The run's lock, if nobody holds it. The kernel releases it with the process that holds it, however it ends.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn try_lock(&self) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.0.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// When it is missing or not what this version writes.
    pub fn read_spec(&self) -> io::Result<RunSpec> {
        Ok(serde_json::from_slice(&fs::read(self.spec())?)?)
    }
}

/// Held by whoever works on a run; gone with its process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Links that are followed one after the other, as many as Linux follows.
const LINKS: usize = 40;

/// Where a link leads, be it there or not.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Writes a file whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder. A link is followed; a
/// device or a pipe is written to as it is.
///
/// # Errors
/// When the disk is full or the folder cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let path = &followed(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written.and_then(|()| fs::rename(&temporary, path)) {
        Ok(()) => File::open(folder)?.sync_all(),
        Err(error) => {
            // The first error is the one to report; a leftover temporary file does no harm.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}
