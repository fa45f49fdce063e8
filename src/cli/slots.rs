//! How many runs go at once, and what all of them will take.

use super::open;
use crate::config::{BackendKind, parse_size};
use crate::schedule::Job;
use crate::schedule::coordinator::Limits;
use crate::schedule::estimate::{Estimator, available_memory};
use crate::schedule::plan::{Plan, Planner, by_results};
use crate::schedule::queue::{Queue, Terms};
use crate::store::{Store, StoreError};
use crate::train::gpu::devices;

/// Arguments of every command that plans many runs.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Slots {
    /// Runs at the same time: a number, or auto, which goes by cores, memory and GPUs.
    #[arg(long, short, default_value = "auto", value_parser = parse_jobs)]
    pub jobs: Jobs,
    /// Threads of each run; results do not depend on it. Default: cores divided by jobs.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Memory that all runs may take together, for example 8GiB. Default: what is free.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
}

/// A number of runs at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as fit.
    Auto,
    /// So many.
    Number(usize),
}

fn parse_jobs(text: &str) -> Result<Jobs, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Jobs::Auto),
        Ok(number @ 1..=1024) => Ok(Jobs::Number(number)),
        _ => Err("expected auto or a number from 1 to 1024".to_owned()),
    }
}

/// The jobs of a plan and how many of them go at once.
pub fn prepare(
    args: Slots,
    force: bool,
    plan: Plan,
    planner: Planner,
    store: Option<&Store>,
    estimator: Estimator,
) -> Result<(Queue, Limits), StoreError> {
    let known = store.map(Store::known_runs).transpose()?.unwrap_or_default();
    let cores = open::threads(None);
    let memory = args.memory.or_else(available_memory);
    let asked = args.threads.map(usize::from);
    // Asking the driver takes a moment.
    let on_gpus = plan.runs.iter().any(|run| run.experiment.backend() == BackendKind::Cuda);
    let devices = if on_gpus || plan.files.iter().any(|file| by_results(file)) { devices() } else { Vec::new() };
    let terms = Terms { estimator, known, threads: asked.unwrap_or(1), memory, devices: devices.clone(), force };
    let mut queue = Queue::new(plan, planner, terms);
    let jobs = match args.jobs {
        Jobs::Number(jobs) => jobs,
        Jobs::Auto => automatic(&queue, cores, asked.unwrap_or(1), memory, devices.len()),
    };
    let threads = asked.unwrap_or((cores / jobs).max(1));
    queue.set_threads(threads);
    Ok((queue, Limits { jobs, memory, devices, ..Limits::one_run(threads) }))
}

/// As many runs as there are cores for, memory for the largest of them, and GPUs where they need one.
fn automatic(queue: &Queue, cores: usize, threads: usize, memory: Option<u64>, gpus: usize) -> usize {
    let waiting = queue.waiting().count() + queue.to_come();
    let largest = queue.waiting().map(|job| job.memory).max().unwrap_or(0).max(1);
    let by_memory = memory.map_or(usize::MAX, |memory| (memory / largest).max(1) as usize);
    let all_on_gpu = waiting > 0 && queue.waiting().all(Job::needs_gpu);
    // As many as share a GPU where each takes the least share of all.
    let least = queue.waiting().map(|job| job.claim.share).fold(1.0, f64::min);
    let by_gpu = if all_on_gpu { gpus.max(1).saturating_mul((1.0 / least + 1e-9) as usize) } else { usize::MAX };
    (cores / threads).max(1).min(by_memory).min(by_gpu).min(waiting.max(1))
}

/// Seconds of all that waits, if there is experience.
pub fn estimate(queue: &Queue, limits: &Limits) -> Option<f64> {
    let times: Option<Vec<f64>> = queue.waiting().map(|job| job.seconds).collect();
    let times = times.filter(|times| !times.is_empty())?;
    let longest = times.iter().copied().fold(0.0, f64::max);
    Some((times.iter().sum::<f64>() / limits.jobs as f64).max(longest))
}

/// Why a run is refused that does not fit into memory.
pub fn too_large(needs: u64, limit: u64, of: &str) -> String {
    let other = if of == "memory" { " or --memory" } else { "" };
    let (needs, limit) = (size(needs), size(limit));
    format!("it needs about {needs} of {of} and may have {limit}; use a smaller train.batch_size{other}")
}

/// `1.2 GiB`.
pub fn size(bytes: u64) -> String {
    let mebibytes = bytes as f64 / (1024.0 * 1024.0);
    if mebibytes < 1024.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_a_number_or_auto() {
        assert_eq!(parse_jobs("auto"), Ok(Jobs::Auto));
        assert!(parse_jobs("0").is_err());
    }
}
