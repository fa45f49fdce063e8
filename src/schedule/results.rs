//! The results folder: the store, the runs' folders and the cache, side by side.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::train::folder::RunFolder;

/// Digits of the run key that a run's id begins with.
const ID_DIGITS: usize = 10;

/// Where results are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    store: PathBuf,
    root: PathBuf,
    runs: &'static str,
}

impl Results {
    /// The results folder around a store: runs and cache lie beside it.
    pub fn of_store(store: &Path) -> Self {
        let root = store.parent().filter(|root| !root.as_os_str().is_empty());
        Self { store: store.to_owned(), root: root.map_or_else(|| PathBuf::from("."), Path::to_owned), runs: "runs" }
    }

    /// The same store, with runs and cache in another folder.
    #[must_use]
    pub fn with_folder(self, folder: Option<&Path>) -> Self {
        Self { root: folder.map_or(self.root, Path::to_owned), ..self }
    }

    /// The folder of runs and cache.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// The SQLite file.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The folder of decoded images.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The folder of the runs' folders.
    pub fn runs(&self) -> PathBuf {
        self.root.join(self.runs)
    }

    /// The same place with the folders of repetitions, which are not in the store, for those of runs.
    pub fn replays(&self) -> Self {
        Self { runs: "replays", ..self.clone() }
    }

    /// The folder of a run.
    pub fn run(&self, id: &str) -> RunFolder {
        RunFolder::new(self.runs().join(id))
    }

    /// Id of the run number `ordinal`, from 1, of a run key.
    pub fn id(run_key: &str, ordinal: usize) -> String {
        let digits = &run_key[..ID_DIGITS.min(run_key.len())];
        if ordinal == 1 { digits.to_owned() } else { format!("{digits}-{ordinal}") }
    }

    /// How many runs of a key there are already.
    pub fn ordinals(&self, run_key: &str) -> usize {
        (1..).take_while(|&ordinal| self.run(&Self::id(run_key, ordinal)).path().is_dir()).count()
    }

    /// Every run's folder, by id.
    ///
    /// # Errors
    /// When the folder of runs cannot be read; none is no error.
    pub fn all_runs(&self) -> io::Result<Vec<RunFolder>> {
        let entries = match fs::read_dir(self.runs()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths.into_iter().map(RunFolder::new).collect())
    }
}
