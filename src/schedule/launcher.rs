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
    /// Starts a worker on a run's folder; what it prints goes to the run's log. `device` is the GPU that it may see.
    ///
    /// Call it from the main thread: the kernel stops a worker when the thread that started it ends.
    ///
    /// # Errors
    /// When the log cannot be written or the process cannot be started.
    pub fn start(folder: &RunFolder, threads: usize, device: Option<&str>) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(folder.log())?;
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(device) = device {
            command.env("CUDA_VISIBLE_DEVICES", device);
        }
        let child = command
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

    /// Makes the worker stand still.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused worker go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
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

/// GPUs as `CUDA_VISIBLE_DEVICES` names them: what the user allows, else all that the driver has.
pub fn devices() -> Vec<String> {
    if let Ok(allowed) = std::env::var("CUDA_VISIBLE_DEVICES") {
        return allowed.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    }
    let exists = |number: &usize| std::path::Path::new(&format!("/dev/nvidia{number}")).exists();
    (0..64).filter(exists).map(|number| number.to_string()).collect()
}
