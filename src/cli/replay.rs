//! `replay`: a run again, and whether it comes out the same.

use super::exit::{DATA, FAILED, Failure, INTERRUPTED};
use super::slots::too_large;
use super::{Global, open, print, print_json};
use crate::config::load;
use crate::events::{Event, FailureKind, read_all};
use crate::report::progress::ProgressView;
use crate::report::tell;
use crate::schedule::replay::{Comparison, compare};
use crate::schedule::{Coordinator, Queue, Results, RunOutcome, run_key};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An id, the beginning of one, the name of an experiment (its last run), or `best`.
    run: String,
    /// Threads to compute with; results do not depend on it. Default: all cores.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// Runs the run again and compares.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let id = store.resolve(&args.run)?;
    let original = results.run(&id);
    let before = read_all(&original.events()).map_err(Failure::run)?;
    let experiment = load(&original.experiment(), &[])?.experiment;
    open::usable_backend(&experiment)?;
    let mut view = ProgressView::new(experiment.train().epochs(), global.quiet || global.json);
    let threads = open::threads(args.threads.map(usize::from));
    let fingerprint = before.iter().find_map(|line| match &line.event {
        Event::Data(data) => Some(data.fingerprint.clone()),
        _ => None,
    });
    let fingerprint = fingerprint.ok_or_else(|| {
        let events = original.events().display().to_string();
        let reason = format!("{events} does not say what data run {id} read: it never did, or the file is damaged.");
        Failure::run(format!("{reason} There is nothing to repeat."))
    })?;
    let run_key = run_key(&experiment, &fingerprint);
    let replays = results.replays();
    let finished = read_all(&replays.run(&Results::id(&run_key, 1)).events()).map_err(Failure::run)?;
    if finished.iter().any(|line| matches!(line.event, Event::Completed(_) | Event::Diverged { .. })) {
        std::fs::remove_dir_all(replays.run(&Results::id(&run_key, 1)).path()).map_err(Failure::run)?;
    }
    let limits = open::limits_of(&experiment, threads);
    let mut queue = Queue::one(experiment, &fingerprint, false, threads, &limits.devices);
    let mut coordinator = Coordinator::unrecorded(replays.clone(), open::command_line())?;
    coordinator.work(&mut queue, &limits, &mut view)?;
    view.finish();
    let (repetition, outcome) = open::only_run(&queue);
    let folder = replays.run(&repetition);
    match outcome {
        RunOutcome::Completed { .. } | RunOutcome::Diverged { .. } => {}
        RunOutcome::Interrupted => {
            return Err(Failure::new(INTERRUPTED, "The repetition is stopped and saved; the same command goes on."));
        }
        RunOutcome::Pruned { .. } | RunOutcome::TimedOut => {
            return Err(Failure::new(FAILED, format!("The repetition is {}.", outcome.word())));
        }
        RunOutcome::TooLarge { needs, limit, of } => return Err(Failure::new(FAILED, too_large(needs, limit, of))),
        RunOutcome::Failed { message, kind } => {
            return Err(Failure::new(if kind == FailureKind::Data { DATA } else { FAILED }, message));
        }
    }
    let after = read_all(&folder.events()).map_err(Failure::run)?;
    let comparison = compare(&before, &after);
    if global.json {
        print_json(&comparison)?;
    } else {
        print(&words(&id, &comparison))?;
    }
    match comparison {
        // An equal repetition has nothing to tell that the run's own folder does not.
        Comparison::BitIdentical { .. } => std::fs::remove_dir_all(folder.path()).map_err(Failure::run),
        Comparison::Differs { .. } => {
            tell(format_args!("The repetition is kept in {}", folder.path().display()));
            Err(Failure::silent(FAILED))
        }
    }
}

fn words(id: &str, comparison: &Comparison) -> String {
    match comparison {
        Comparison::BitIdentical { epochs, predictions } => format!(
            "Run {id} is bit-identical: data, split, losses, accuracies and weights of {epochs} epochs, \
             {predictions} test probabilities.\n"
        ),
        Comparison::Differs { place, quantity, before, after } => {
            format!("Run {id} differs, first in {place}: {quantity} was {before}, is now {after}.\n")
        }
    }
}
