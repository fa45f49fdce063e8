//! Starts a worker process on this machine and stops it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::train::folder::RunFolder;

/// Makes glibc keep the memory of one training step for the next. By default it returns every large block to the system
/// and takes it back page by page, which costs more than the computation does. Other C libraries ignore it.
const KEEP_MEMORY: &str = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736";

/// A worker process in a process group of its own, so that Ctrl-C reaches it only through its coordinator.
#[derive(Debug)]
pub struct Worker {
    child: Child,
}

impl Worker {
    /// Starts a worker on a run's folder; what it prints goes to the run's log.
    ///
    /// Call it from the main thread: the kernel stops a worker when the thread that started it ends.
    ///
    /// # Errors
    /// When the log cannot be written or the process cannot be started.
    pub fn start(folder: &RunFolder, threads: usize) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(folder.log())?;
        let child = Command::new(std::env::current_exe()?)
            .arg("worker")
            .arg(folder.path())
            .env("RAYON_NUM_THREADS", threads.to_string())
            .env("GLIBC_TUNABLES", allocator_settings())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// The exit status, if the worker has ended.
    ///
    /// # Errors
    /// When the system does not know the process.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks the worker to save and stop.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops the worker now.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Value of `GLIBC_TUNABLES` for a process that trains: blocks are kept for the next step. What the user has set wins.
pub fn allocator_settings() -> String {
    match std::env::var("GLIBC_TUNABLES") {
        Ok(set) if !set.is_empty() => format!("{KEEP_MEMORY}:{set}"),
        _ => KEEP_MEMORY.to_owned(),
    }
}
