//! Workers as processes of this machine.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::launcher::{Ending, Launcher, Needs, Order, State, WorkerId};
use super::queue::Job;
use crate::train::folder::RunFolder;
use crate::train::worker::BUSY;

/// Makes glibc keep the memory of one training step for the next. By default it returns every large block to the system
/// and takes it back page by page, which costs more than the computation does. Other C libraries ignore it.
const KEEP_MEMORY: &str = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736";

/// Longest sleep between two looks at the event files.
const LOOK: Duration = Duration::from_millis(100);

/// The processes that were started, by number.
#[derive(Debug, Default)]
pub struct LocalLauncher {
    children: Vec<Child>,
}

impl LocalLauncher {
    fn signal(&self, worker: WorkerId, signal: Signal) {
        let child = self.children.get(worker);
        if let Some(group) = child.and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw) {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Launcher for LocalLauncher {
    fn is_detached(&self) -> bool {
        false
    }

    fn needs(&self, job: &Job, threads: usize) -> Needs {
        Needs { cpus: threads, memory: job.memory, gpus: usize::from(job.needs_gpu()), time: None }
    }

    fn batch(&self) -> usize {
        1
    }

    fn pace(&self, _working: usize) -> Duration {
        LOOK
    }

    fn look(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn find(&mut self, _run: &RunFolder) -> Option<WorkerId> {
        None
    }

    /// Call it from the main thread: the kernel stops a worker when the thread that started it ends.
    fn start(&mut self, orders: Vec<Order>) -> io::Result<Vec<WorkerId>> {
        let mut numbers = Vec::new();
        for order in orders {
            self.children.push(spawn(&order)?);
            numbers.push(self.children.len() - 1);
        }
        Ok(numbers)
    }

    fn state(&mut self, worker: WorkerId) -> io::Result<State> {
        let Some(child) = self.children.get_mut(worker) else { return Err(io::ErrorKind::NotFound.into()) };
        Ok(child.try_wait()?.map_or(State::Running, |status| State::Ended(ending(status))))
    }

    fn stop(&mut self, worker: WorkerId) {
        self.signal(worker, Signal::TERM);
    }

    fn kill(&mut self, worker: WorkerId) {
        self.signal(worker, Signal::KILL);
    }

    fn pause(&mut self, worker: WorkerId) {
        self.signal(worker, Signal::STOP);
    }

    fn go_on(&mut self, worker: WorkerId) {
        self.signal(worker, Signal::CONT);
    }

    fn leave(&mut self) {}
}

/// A worker in a process group of its own, so that Ctrl-C reaches it only through its coordinator. What it prints goes to
/// the run's log.
fn spawn(order: &Order) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(order.folder.log())?;
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(device) = &order.device {
        command.env("CUDA_VISIBLE_DEVICES", device);
    }
    command
        .arg("worker")
        .arg(order.folder.path())
        .env("RAYON_NUM_THREADS", order.needs.cpus.to_string())
        .env("GLIBC_TUNABLES", allocator_settings())
        // The driver's own order is by speed; everybody else counts along the bus.
        .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn ending(status: ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt;
    if status.code() == Some(i32::from(BUSY)) {
        return Ending::Busy;
    }
    Ending::Gone(match (status.signal(), status.code()) {
        (Some(9), _) => "The worker was killed (signal 9): by hand, or by the system when memory ran out. \
                         The same command goes on from the last checkpoint."
            .to_owned(),
        (Some(signal), _) => format!("The worker was ended by signal {signal}."),
        (_, Some(code)) => format!("The worker ended with code {code} without saying why."),
        _ => "The worker ended without saying why.".to_owned(),
    })
}

/// Value of `GLIBC_TUNABLES` for a process that trains: blocks are kept for the next step. What the user has set wins.
pub fn allocator_settings() -> String {
    match std::env::var("GLIBC_TUNABLES") {
        Ok(set) if !set.is_empty() => format!("{KEEP_MEMORY}:{set}"),
        _ => KEEP_MEMORY.to_owned(),
    }
}
