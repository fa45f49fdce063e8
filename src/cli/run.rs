//! `run`: one experiment.

use std::path::PathBuf;

use super::exit::{DATA, FAILED, Failure, INTERRUPTED};
use super::slots::too_large;
use super::{Global, open, print, print_json};
use crate::data::source::OpenSource;
use crate::events::FailureKind;
use crate::report::progress::ProgressView;
use crate::report::summary::summary;
use crate::report::tell;
use crate::schedule::{Coordinator, Queue, RunOutcome};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The experiment file.
    file: PathBuf,
    /// Override a key, for example train.epochs=3; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Run even if the same run is completed already.
    #[arg(long)]
    force: bool,
    /// Threads to compute with; results do not depend on it. Default: all cores.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// Runs the experiment and prints its summary.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let experiment = open::experiment(&args.file, &args.overrides)?;
    open::usable_backend(&experiment)?;
    let results = global.results();
    let source = OpenSource::open(experiment.data().source(), experiment.data().classes())?;
    let fingerprint = source.fingerprint(Some(&results.cache()))?;
    let threads = open::threads(args.threads.map(usize::from));
    let mut view = ProgressView::new(experiment.train().epochs(), global.quiet || global.json);
    let mut coordinator = Coordinator::new(results.clone(), open::command_line())?;
    let limits = open::limits_of(&experiment, threads);
    let mut queue = Queue::one(experiment, &fingerprint.to_string(), args.force, threads, &limits.devices);
    coordinator.work(&mut queue, &limits, &mut view)?;
    view.finish();
    let (id, outcome) = open::only_run(&queue);
    let folder = results.run(&id);
    let show = || -> Result<(), Failure> {
        let detail = coordinator.store().detail(&folder.id())?;
        if global.json { print_json(&detail) } else { print(&summary(&detail, folder.path(), results.store())) }
    };
    match outcome {
        RunOutcome::Completed { fresh } => {
            if !fresh && !global.quiet && !global.json {
                tell("This run is completed already; nothing was computed. Use --force to run it again.");
            }
            show()
        }
        RunOutcome::Diverged { .. } => {
            show()?;
            Err(Failure::new(FAILED, "The loss is not a finite number any more. Try a smaller train.learning_rate."))
        }
        RunOutcome::Interrupted => Err(Failure::new(
            INTERRUPTED,
            format!("Run {} is stopped and saved; the same command goes on with it.", folder.id()),
        )),
        RunOutcome::Pruned { .. } | RunOutcome::TimedOut => {
            Err(Failure::new(FAILED, format!("Run {} is {}.", folder.id(), outcome.word())))
        }
        RunOutcome::TooLarge { needs, limit, of } => Err(Failure::new(FAILED, too_large(needs, limit, of))),
        RunOutcome::Failed { message, kind } => {
            let code = if kind == FailureKind::Data { DATA } else { FAILED };
            Err(Failure::new(code, format!("{message}\nThe run's log is {}", folder.log().display())))
        }
    }
}
