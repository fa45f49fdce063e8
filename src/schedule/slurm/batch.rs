//! Job arrays as they stand on the shared folder, so that another coordinator finds them.
//!
//! `slurm/<token>/` has `script.sh`, `tasks` (the runs' folders, a line each), `job` (the array's number, once it is known) and
//! the tasks' logs. A folder whose tasks are all over is moved to `slurm/over/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::train::folder::{RunFolder, write_atomically};

/// What a job's name begins with.
const PREFIX: &str = "emo";

/// Longest part of an experiment's name in a job's name.
const NAME: usize = 30;

/// A job array.
#[derive(Debug)]
pub struct Batch {
    /// Its folder.
    pub folder: PathBuf,
    /// The ids of its runs, in the order of its tasks.
    pub runs: Vec<String>,
    /// Number of the array, once Slurm has taken it.
    pub job: Option<u64>,
}

impl Batch {
    /// Where a new array goes: a folder whose name is not used yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn folder(root: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(root)?;
        loop {
            let noise = (std::process::id(), jiff::Timestamp::now().as_nanosecond(), gethostname());
            let token = blake3::hash(format!("{noise:?}").as_bytes()).to_hex()[..10].to_owned();
            match fs::create_dir(root.join(&token)) {
                Ok(()) => return Ok(root.join(token)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a new array down, before Slurm hears of it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(folder: PathBuf, runs: &[&RunFolder], script: &str) -> io::Result<Self> {
        let path = |run: &RunFolder| std::path::absolute(run.path()).unwrap_or_else(|_| run.path().to_owned());
        let lines: Vec<String> = runs.iter().map(|run| format!("{}\n", path(run).display())).collect();
        write_atomically(&folder.join("script.sh"), script.as_bytes())?;
        write_atomically(&folder.join("tasks"), lines.concat().as_bytes())?;
        Ok(Self { folder, runs: runs.iter().map(|run| run.id()).collect(), job: None })
    }

    /// The arrays of earlier coordinators that are not over. One that was not written to its end was never submitted.
    ///
    /// # Errors
    /// When the folder cannot be read; none is no error.
    pub fn open_all(root: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut batches = Vec::new();
        for entry in entries {
            let folder = entry?.path();
            let Ok(tasks) = fs::read_to_string(folder.join("tasks")) else { continue };
            let runs = tasks.lines().map(|path| RunFolder::new(path).id()).collect();
            let job = fs::read_to_string(folder.join("job")).ok().and_then(|job| job.trim().parse().ok());
            batches.push(Self { folder, runs, job });
        }
        batches.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(batches)
    }

    /// Notes the number that Slurm gave.
    ///
    /// # Errors
    /// When it cannot be written; the array is then found by its name.
    pub fn submitted(&mut self, job: u64) -> io::Result<()> {
        self.job = Some(job);
        write_atomically(&self.folder.join("job"), format!("{job}\n").as_bytes())
    }

    /// The last part of the job's name, by which it is found again.
    pub fn token(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The log of a task, besides that of its run: set-up and Slurm's own words.
    pub fn log(&self, task: usize) -> PathBuf {
        self.folder.join(format!("{task}.log"))
    }

    /// Puts the folder away.
    pub fn put_away(&self) {
        // It is only out of the way; one that stays is looked at once more, and is over again.
        let over = self.folder.parent().unwrap_or(Path::new("")).join("over");
        let _ = fs::create_dir_all(&over).and_then(|()| fs::rename(&self.folder, over.join(self.token())));
    }
}

/// Name of the job in a batch's folder: `emo:NAME:TOKEN`.
pub fn job_name(experiment: &str, folder: &Path) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let experiment: String = experiment.chars().take(NAME).map(plain).collect();
    let token = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{PREFIX}:{experiment}:{token}")
}

fn gethostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
