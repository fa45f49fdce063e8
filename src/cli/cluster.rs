//! Where a sweep's runs are worked on: on this machine, or as jobs of Slurm.

use std::path::Path;
use std::time::Duration;

use super::exit::{FAILED, Failure, STORE, USAGE};
use super::slots::{Jobs, Slots};
use super::{Global, print};
use crate::config::SlurmSettings;
use crate::config::settings::word_problem;
use crate::schedule::coordinator::{Limits, OnInterrupt};
use crate::schedule::launcher::Needs;
use crate::schedule::plan::{Plan, Planner};
use crate::schedule::queue::{Queue, Terms};
use crate::schedule::slurm::{SlurmError, SlurmLauncher, on_own_disk};
use crate::schedule::{Job, Results};
use crate::store::{Store, StoreError};

/// Time that a job has to disappear after it was told to stop, beyond --grace: Slurm tells it, and is asked.
const SLURMS_SHARE: Duration = Duration::from_secs(60);

/// Who works on runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Processes of this machine.
    #[default]
    Local,
    /// Job arrays of Slurm.
    Slurm,
}

/// What Ctrl-C does to jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Interrupted {
    /// Ask; without a terminal, leave them.
    #[default]
    Ask,
    /// They go on, and the same command picks them up.
    Leave,
    /// They save and stop.
    Cancel,
}

/// Arguments about a cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Slurm")]
pub struct Cluster {
    /// Who works on the runs.
    #[arg(long, value_enum, default_value_t)]
    pub launcher: Kind,
    /// sbatch's --partition.
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    partition: Option<String>,
    /// sbatch's --account.
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    account: Option<String>,
    /// sbatch's --qos.
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    qos: Option<String>,
    /// sbatch's --constraint.
    #[arg(long, value_name = "FEATURES", value_parser = one_line)]
    constraint: Option<String>,
    /// One more option of sbatch, for example --sbatch=--mail-type=FAIL; may be given several times.
    #[arg(long, value_name = "OPTION", value_parser = option, allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// A shell line before the run, for example "module load cuda"; may be given several times.
    #[arg(long, value_name = "LINE")]
    setup: Vec<String>,
    /// What Ctrl-C does to the jobs.
    #[arg(long, value_enum, default_value_t)]
    on_interrupt: Interrupted,
}

fn one_line(text: &str) -> Result<String, String> {
    word_problem(text).map_or_else(|| Ok(text.to_owned()), Err)
}

fn option(text: &str) -> Result<String, String> {
    if text.starts_with('-') {
        one_line(text)
    } else {
        Err("expected an option of sbatch, which begins with -".to_owned())
    }
}

impl Cluster {
    /// Whether runs become jobs.
    pub fn is_used(&self) -> bool {
        self.launcher == Kind::Slurm
    }

    /// emo-runner.toml, and over it the command line.
    pub fn settings(&self, global: &Global, slots: Slots) -> SlurmSettings {
        let file = global.slurm.clone();
        let or = |typed: &Option<String>, written: Option<String>| typed.clone().or(written);
        SlurmSettings {
            partition: or(&self.partition, file.partition),
            account: or(&self.account, file.account),
            qos: or(&self.qos, file.qos),
            constraint: or(&self.constraint, file.constraint),
            extra: file.extra.into_iter().chain(self.sbatch.iter().cloned()).collect(),
            setup: file.setup.into_iter().chain(self.setup.iter().cloned()).collect(),
            cpus: slots.threads.map_or(file.cpus, usize::from),
            limit: if let Jobs::Number(jobs) = slots.jobs { Some(jobs) } else { file.limit },
            ..file
        }
    }

    /// What a cluster changes in the limits of one machine.
    pub fn limits(&self, settings: &SlurmSettings, limits: Limits) -> Limits {
        Limits {
            losses: settings.resubmits,
            time_limits: settings.time_limits,
            grace: limits.grace + SLURMS_SHARE,
            on_interrupt: match self.on_interrupt {
                Interrupted::Ask => OnInterrupt::Ask,
                Interrupted::Leave => OnInterrupt::Leave,
                Interrupted::Cancel => OnInterrupt::Cancel,
            },
            ..limits
        }
    }

    /// The launcher.
    pub fn launcher(
        &self,
        settings: SlurmSettings,
        results: &Results,
        queue: &Queue,
    ) -> Result<SlurmLauncher, Failure> {
        SlurmLauncher::new(settings, results.folder(), name(queue)).map_err(|error| match error {
            SlurmError::Missing(_) | SlurmError::Name(_) => Failure::new(USAGE, error),
            SlurmError::Folder { .. } => Failure::new(FAILED, error),
        })
    }
}

/// Refuses a store that jobs' machines share.
pub fn own_disk(results: &Results) -> Result<(), Failure> {
    on_own_disk(results.store()).map_err(|error| Failure::new(STORE, error))
}

/// The jobs of a plan: this machine's cores and memory do not count.
pub fn prepare(
    settings: &SlurmSettings,
    force: bool,
    plan: Plan,
    planner: Planner,
    store: Option<&Store>,
    estimator: crate::schedule::estimate::Estimator,
) -> Result<(Queue, Limits), StoreError> {
    let known = store.map(Store::known_runs).transpose()?.unwrap_or_default();
    let threads = settings.cpus;
    let terms = Terms { estimator, known, threads, memory: None, devices: Vec::new(), force };
    let limits = Limits { jobs: usize::MAX, ..Limits::one_run(threads) };
    Ok((Queue::new(plan, planner, terms), limits))
}

/// Prints the scripts of what would be submitted.
pub fn show_scripts(settings: &SlurmSettings, shared: &Path, queue: &Queue) -> Result<(), Failure> {
    let needs: Vec<Needs> = queue.waiting().map(|job: &Job| SlurmLauncher::needs_of(settings, job)).collect();
    let scripts = SlurmLauncher::scripts(settings, shared, name(queue), &needs);
    scripts.iter().try_for_each(|script| print(&format!("\n{script}")))
}

/// What the jobs are called: the first experiment's name.
fn name(queue: &Queue) -> &str {
    queue.jobs().first().map_or("sweep", |job| job.run.experiment.name())
}
