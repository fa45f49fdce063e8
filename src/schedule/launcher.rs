//! What the coordinator knows of workers, wherever they are: processes of this machine or jobs of a cluster.

use std::fmt;
use std::io;
use std::time::Duration;

use super::queue::Job;
use crate::train::folder::RunFolder;

/// Number of a worker, given by the launcher that started it.
pub type WorkerId = usize;

/// What a run is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needs {
    /// Threads, and CPUs for them.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// GPUs.
    pub gpus: usize,
    /// Longest time.
    pub time: Option<Duration>,
}

/// A run that is ready to be worked on: its folder says all that a worker must know.
#[derive(Debug, Clone)]
pub struct Order {
    /// The run's folder.
    pub folder: RunFolder,
    /// What it is to have.
    pub needs: Needs,
    /// The GPU that it may see, where the coordinator hands them out.
    pub device: Option<String>,
}

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It is not begun yet, or was put back; why, in the words of whoever decides.
    Waiting(String),
    /// It works.
    Running,
    /// It is gone.
    Ended(Ending),
}

/// How a worker went, for the case that it could not say so itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It found the run taken or done.
    Busy,
    /// It died or left; in words.
    Gone(String),
    /// Its time was up.
    TimedOut {
        /// What it had, where that is known.
        limit: Option<Duration>,
        /// In words.
        reason: String,
    },
    /// Somebody else ended it.
    Cancelled(String),
    /// It was lost through no fault of its own: its node failed, or it had to make room.
    Lost(String),
    /// It was never begun: whoever decides does not take it.
    Refused(String),
}

/// Starts workers and knows how they are. Nothing here waits.
pub trait Launcher: fmt::Debug {
    /// Whether workers live on when this process ends.
    fn is_detached(&self) -> bool;

    /// What a run is to have, where `threads` is what the command line says.
    fn needs(&self, job: &Job, threads: usize) -> Needs;

    /// Most runs that are begun in one go.
    fn batch(&self) -> usize;

    /// Time between two looks, with so many workers at work.
    fn pace(&self, working: usize) -> Duration;

    /// Brings what is known up to date. Returns what the user should hear.
    fn look(&mut self) -> Vec<String>;

    /// Whether it knows enough to begin anything.
    fn is_ready(&self) -> bool;

    /// The worker that an earlier coordinator left at a run.
    fn find(&mut self, run: &RunFolder) -> Option<WorkerId>;

    /// Starts a worker for each order, in their order.
    ///
    /// # Errors
    /// When the system refuses.
    fn start(&mut self, orders: Vec<Order>) -> io::Result<Vec<WorkerId>>;

    /// How a worker is.
    ///
    /// # Errors
    /// When the system does not know it.
    fn state(&mut self, worker: WorkerId) -> io::Result<State>;

    /// Asks a worker to save and stop.
    fn stop(&mut self, worker: WorkerId);

    /// Ends a worker now.
    fn kill(&mut self, worker: WorkerId);

    /// Makes a worker stand still, where that can be done.
    fn pause(&mut self, worker: WorkerId);

    /// Lets a paused worker go on.
    fn go_on(&mut self, worker: WorkerId);

    /// The coordinator leaves, and workers stay: what must be written down is.
    fn leave(&mut self);
}
