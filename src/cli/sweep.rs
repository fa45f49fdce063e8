//! `sweep`: every experiment of files and folders, in parallel.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::cluster::{self, Cluster};
use super::exit::{FAILED, Failure, INTERRUPTED, USAGE, color};
use super::slots::{Slots, estimate, prepare, size, too_large};
use super::{Global, open, print, print_json};
use crate::config::{Objective, SlurmSettings, parse_time};
use crate::report::comparison::Comparison;
use crate::report::summary::duration;
use crate::report::sweep_view::{SweepEvents, SweepView};
use crate::report::table::Format;
use crate::report::tell;
use crate::schedule::coordinator::{Coordinator, Limits, Observer};
use crate::schedule::estimate::{Estimator, SAMPLE};
use crate::schedule::plan::{Plan, PlanError, Planner, expand, load_all};
use crate::schedule::queue::Queue;
use crate::schedule::reconcile::settle;
use crate::schedule::{Job, RunOutcome};
use crate::store::Store;
use crate::train::backend::Place;

/// Runs that a plan on a terminal lists one by one.
const LISTED: usize = 60;

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files, and folders of them: every .toml file in a folder and below; names that begin with _ are passed over.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Override a key of every file, for example train.epochs=3; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    slots: Slots,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do runs again that are completed.
    #[arg(long)]
    force: bool,
    /// Longest time of a run, for example 90s, 30m, 2h; it is saved and stopped then.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    /// Longest time that a run may give no sign of life.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_time)]
    stall: Duration,
    /// Time that a run has to save when it is stopped, before it is killed.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    grace: Duration,
    /// How often a failed run is begun again, from its last checkpoint.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: usize,
    /// Stop everything at the first failure.
    #[arg(long, conflicts_with = "max_failures")]
    fail_fast: bool,
    /// Stop everything after so many failures.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_failures: Option<u32>,
    /// How to write the table at the end.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    cluster: Cluster,
}

/// Plans the sweep, and does it.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let results = global.results();
    let settings = args.cluster.settings(global, args.slots);
    let files = load_all(&expand(&args.paths)?, &args.overrides)?;
    let place = if args.cluster.is_used() { Place::Elsewhere } else { Place::Here };
    let planner = Planner::new(results.cache()).at(place);
    let plan = planner.plan(files)?;
    if args.dry_run {
        let store = if results.store().exists() { Some(Store::open_existing(results.store())?) } else { None };
        let (queue, limits) = begin(args, &settings, plan, planner, store.as_ref())?;
        show_plan(&queue, &limits, global)?;
        let wants_scripts = args.cluster.is_used() && !global.json;
        return if wants_scripts { cluster::show_scripts(&settings, results.folder(), &queue) } else { Ok(()) };
    }
    if args.cluster.is_used() {
        cluster::own_disk(&results)?;
    }
    let mut coordinator = Coordinator::new(results.clone(), open::command_line())?;
    settle(&results, coordinator.store_mut())?;
    let (mut queue, limits) = begin(args, &settings, plan, planner, Some(coordinator.store()))?;
    if place == Place::Here && queue.waiting().any(Job::needs_gpu) {
        open::working_gpu()?;
    }
    if args.cluster.is_used() {
        let launcher = args.cluster.launcher(settings, &results, &queue)?;
        coordinator = coordinator.with_launcher(Box::new(launcher));
    }
    if global.json {
        SweepEvents::write(&plan_json(&queue, &limits));
    } else if !global.quiet {
        tell(headline(&queue, &limits));
        refused(&queue).for_each(tell);
    }
    let objective = objective(&queue);
    let mut view = SweepView::new(objective, global.quiet);
    let mut events = SweepEvents;
    let observer: &mut dyn Observer = if global.json { &mut events } else { &mut view };
    let worked = coordinator.work(&mut queue, &limits, observer);
    view.finish();
    worked?;
    conclude(args, global, &queue, &coordinator)
}

/// The jobs, and the limits that the command line sets.
fn begin(
    args: &Args,
    settings: &SlurmSettings,
    plan: Plan,
    planner: Planner,
    store: Option<&Store>,
) -> Result<(Queue, Limits), Failure> {
    let measured = store.map(|store| store.measured(SAMPLE)).transpose()?.unwrap_or_default();
    let estimator = Estimator::new(&measured);
    let (queue, limits) = if args.cluster.is_used() {
        cluster::prepare(settings, args.force, plan, planner, store, estimator)?
    } else {
        prepare(args.slots, args.force, plan, planner, store, estimator)?
    };
    let limits = Limits {
        timeout: args.timeout,
        stall: args.stall,
        grace: args.grace,
        retries: args.retries,
        max_failures: if args.fail_fast { Some(1) } else { args.max_failures.map(|most| most as usize) },
        ..limits
    };
    let limits = if args.cluster.is_used() { args.cluster.limits(settings, limits) } else { limits };
    Ok((queue, limits))
}

fn objective(queue: &Queue) -> Objective {
    queue.files().iter().find_map(|file| Some(file.sweep()?.objective())).unwrap_or_default()
}

/// What was refused or cannot be read, found before anything ran.
fn refused(queue: &Queue) -> impl Iterator<Item = String> {
    queue.jobs().iter().filter_map(|job| match job.outcome.as_ref()? {
        RunOutcome::TooLarge { needs, limit, of } => {
            Some(format!("refused      {}: {}", job.title(), too_large(*needs, *limit, of)))
        }
        RunOutcome::Failed { message, .. } => Some(format!("failed       {}: {message}", job.title())),
        _ => None,
    })
}

fn headline(queue: &Queue, limits: &Limits) -> String {
    let runs = queue.jobs().len() + queue.to_come();
    let done =
        queue.jobs().iter().filter(|job| job.outcome.as_ref().is_some_and(|outcome| !outcome.is_failure())).count();
    let plural = if runs == 1 { "run" } else { "runs" };
    if limits.jobs == usize::MAX {
        return format!("{runs} {plural}, {done} done already, as jobs of Slurm");
    }
    let threads = if limits.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", limits.threads) };
    let mut text = format!("{runs} {plural}, {done} done already, {} at a time with {threads} each", limits.jobs);
    if let Some(seconds) = estimate(queue, limits) {
        text += &format!(", about {}", duration(seconds));
    }
    text
}

fn show_plan(queue: &Queue, limits: &Limits, global: &Global) -> Result<(), Failure> {
    if global.json {
        return print_json(&plan_json(queue, limits));
    }
    let mut text = String::new();
    for job in queue.jobs().iter().take(LISTED) {
        let key = job.run.identity.as_ref().map_or("-", |identity| &identity.run_key[..10]);
        let state = job.outcome.as_ref().map_or("to do", RunOutcome::word);
        let seconds = job.seconds.map_or_else(String::new, |seconds| format!("about {}", duration(seconds)));
        text += &format!("{key:10}  {state:11}  {:>9}  {seconds:>14}  {}\n", size(job.memory), job.title());
    }
    if queue.jobs().len() > LISTED {
        text += &format!("and {} more runs; --json lists all\n", queue.jobs().len() - LISTED);
    }
    if queue.to_come() > 0 {
        text += &format!("and {} runs of tpe, whose points depend on results\n", queue.to_come());
    }
    refused(queue).for_each(|line| text += &(line + "\n"));
    print(&(text + &headline(queue, limits) + "\n"))
}

fn plan_json(queue: &Queue, limits: &Limits) -> serde_json::Value {
    let runs: Vec<_> = queue
        .jobs()
        .iter()
        .map(|job| {
            json!({
                "run_key": job.run.identity.as_ref().ok().map(|identity| &identity.run_key),
                "name": job.run.experiment.name(),
                "point": job.run.label(),
                "state": job.outcome.as_ref().map_or("to do", RunOutcome::word),
                "memory_bytes": job.memory,
                "seconds": job.seconds,
            })
        })
        .collect();
    json!({
        "event": "plan", "runs": runs, "to_come": queue.to_come(),
        "jobs": (limits.jobs < usize::MAX).then_some(limits.jobs), "threads": limits.threads,
        "seconds": estimate(queue, limits)
    })
}

/// The table, what to do next, and the exit code.
fn conclude(args: &Args, global: &Global, queue: &Queue, coordinator: &Coordinator) -> Result<(), Failure> {
    let comparison = Comparison::new(queue, coordinator.store())?;
    let failures: Vec<&Job> =
        queue.jobs().iter().filter(|job| job.outcome.as_ref().is_some_and(RunOutcome::is_failure)).collect();
    let unfinished =
        queue.jobs().iter().filter(|job| matches!(job.outcome, None | Some(RunOutcome::Interrupted))).count();
    if global.json {
        SweepEvents::write(&json!({
            "event": "done", "failures": failures.len(), "unfinished": unfinished, "comparison": comparison
        }));
    } else {
        if comparison.points.iter().any(|point| point.completed > 0) {
            if !global.quiet {
                tell("");
            }
            print(&comparison.render(args.format).map_err(Failure::run)?)?;
        }
        if !global.quiet {
            next_steps(&failures, unfinished);
        }
    }
    if coordinator.was_interrupted() {
        return Err(Failure::silent(INTERRUPTED));
    }
    if failures.is_empty() && unfinished == 0 { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

fn next_steps(failures: &[&Job], unfinished: usize) {
    if !failures.is_empty() {
        tell(format_args!("\n{} of the runs went wrong:", failures.len()));
        for job in failures.iter().take(10) {
            let outcome = job.outcome.as_ref().map_or("", RunOutcome::word);
            let show = job.id.as_ref().map(|id| format!("  emo-runner show {id}")).unwrap_or_default();
            tell(format_args!("  {outcome:9}  {}{show}", job.title()));
        }
        if failures.len() > 10 {
            tell(format_args!(
                "  and {} more: emo-runner report --where \"status <> 'completed'\"",
                failures.len() - 10
            ));
        }
    }
    if unfinished > 0 {
        tell(format_args!("\n{unfinished} runs are not done; the same command goes on where this one stopped."));
    } else if failures.is_empty() {
        tell("\nNext: emo-runner report --best, emo-runner show RUN");
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Config(errors) => {
                let texts: Vec<String> = errors.iter().map(|error| error.render(color())).collect();
                Self::drawn(texts.join("\n\n"))
            }
            other => Self::new(USAGE, other),
        }
    }
}
