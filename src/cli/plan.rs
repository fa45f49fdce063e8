//! `plan`: what a study will cost and what it can show, before any of it is computed.

use std::path::PathBuf;

use serde_json::json;

use super::exit::{DATA, Failure};
use super::slots::{Slots, estimate, prepare, size};
use super::{Global, open, print, print_json};
use crate::config::Experiment;
use crate::report::prospect::Prospect;
use crate::report::summary::duration;
use crate::schedule::RunOutcome;
use crate::schedule::coordinator::Limits;
use crate::schedule::estimate::{Estimator, SAMPLE, cost};
use crate::schedule::plan::{Planner, by_results, expand, load_all, sample};
use crate::schedule::queue::Queue;
use crate::store::{Measured, Store};
use crate::train::probe::seconds_per_image;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files, and folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Override a key of every file, for example split.folds=5; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    slots: Slots,
}

/// Prints the cost of the runs together, and of each file what its test set can show.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let results = global.results();
    let planner = Planner::new(results.cache());
    let plan = planner.plan(load_all(&expand(&args.paths)?, &args.overrides)?)?;
    let mut studies = Vec::with_capacity(plan.files.len());
    for file in &plan.files {
        let experiment = sample(file)?;
        let points = file.points().unwrap_or(usize::MAX);
        let runs = points.saturating_mul(file.repeats()).saturating_mul(file.folds().len());
        let prospect = Prospect::new(&experiment, runs, points).map_err(|error| Failure::new(DATA, error))?;
        studies.push((experiment, prospect));
    }
    let store = if results.store().exists() { Some(Store::open_existing(results.store())?) } else { None };
    let measured = store.as_ref().map(|store| store.measured(SAMPLE)).transpose()?.unwrap_or_default();
    let (estimator, basis) = estimator(&measured, &studies[0].0);
    let files = plan.files.clone();
    let (queue, limits) = prepare(args.slots, false, plan, planner, store.as_ref(), estimator)?;
    let searched = files.iter().zip(&studies).filter(|(file, _)| by_results(file));
    let to_come = searched.filter_map(|(_, (experiment, prospect))| {
        let cost = cost(experiment, prospect.images.iter().sum(), limits.threads);
        Some(estimator.seconds(cost, limits.threads)? * prospect.runs as f64 / limits.jobs as f64)
    });
    let to_come: f64 = to_come.sum();
    let seconds = estimator.has_times().then(|| estimate(&queue, &limits).unwrap_or(0.0) + to_come);
    let prospects: Vec<&Prospect> = studies.iter().map(|(_, prospect)| prospect).collect();
    if global.json {
        return print_json(&json!({
            "seconds": seconds, "estimated": basis, "jobs": limits.jobs, "threads": limits.threads,
            "memory_bytes": largest(&queue), "studies": prospects
        }));
    }
    let mut text = headline(&queue, &limits);
    if let Some(seconds) = seconds {
        text += &format!("about {} ({basis}), {} for the largest run\n", duration(seconds), size(largest(&queue)));
    }
    prospects.iter().for_each(|prospect| text += &format!("\n{}", prospect.text()));
    print(&text)
}

/// By experience, where there is some; else by a step of the first experiment's network.
fn estimator(measured: &[Measured], experiment: &Experiment) -> (Estimator, &'static str) {
    let estimator = Estimator::new(measured);
    if estimator.has_times() {
        return (estimator, "by the runs in the store");
    }
    match seconds_per_image(experiment) {
        Some(seconds) => (estimator.timed(experiment, seconds, open::threads(None)), "by timing one training step now"),
        None => (estimator, "unknown"),
    }
}

fn largest(queue: &Queue) -> u64 {
    queue.jobs().iter().map(|job| job.memory).max().unwrap_or(0)
}

fn headline(queue: &Queue, limits: &Limits) -> String {
    let runs = queue.jobs().len() + queue.to_come();
    let done = queue.jobs().iter().filter(|job| matches!(job.outcome, Some(RunOutcome::Completed { .. }))).count();
    format!(
        "{runs} run{}, {done} done already; {} at a time with {} thread{} each\n",
        if runs == 1 { "" } else { "s" },
        limits.jobs,
        limits.threads,
        if limits.threads == 1 { "" } else { "s" }
    )
}
