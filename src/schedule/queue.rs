//! What is to be done, what is done, and what a search wants next.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::coordinator::RunOutcome;
use super::devices::{Claim, Unplaceable, placeable};
use super::estimate::{Estimator, cost};
use super::identity::run_key;
use super::plan::{Identity, Plan, PlannedPoint, PlannedRun, Planner, by_results};
use super::search::{self, Tried};
use crate::config::{BackendKind, Experiment, Objective, Pruner, SweepFile};
use crate::events::FailureKind;
use crate::store::KnownRun;
use crate::train::gpu::Device;

/// A run with what it needs and what became of it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its place in the queue's list.
    pub number: usize,
    /// What to do.
    pub run: PlannedRun,
    /// Bytes of memory that it will need, by estimate.
    pub memory: u64,
    /// What it takes of a GPU, if it needs one.
    pub claim: Claim,
    /// Seconds that it will take, by estimate, if there is experience.
    pub seconds: Option<f64>,
    /// For the order: longest first.
    work: f64,
    /// Begin another run even if it is completed.
    pub force: bool,
    /// How often it failed and was begun again.
    pub retries: usize,
    /// How often it was lost and begun again.
    pub losses: usize,
    /// How many time limits it has used up before this one.
    pub limits_used: usize,
    /// How it ended, once it has.
    pub outcome: Option<RunOutcome>,
    /// Its run id, once it was looked for.
    pub id: Option<String>,
}

/// Why a job is begun once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It failed.
    Failed,
    /// It was lost through no fault of its own.
    Lost,
    /// Its time was up.
    TimedOut,
}

impl Job {
    /// How much there is to compute, in multiply-adds.
    pub fn work(&self) -> f64 {
        self.work
    }

    /// The name of its experiment, and its point.
    pub fn title(&self) -> String {
        title(self.run.experiment.name(), &self.run.label())
    }

    /// Whether it needs a GPU.
    pub fn needs_gpu(&self) -> bool {
        self.run.experiment.backend() == BackendKind::Cuda
    }
}

/// `study [activation=relu, seed=22]`.
pub fn title(name: &str, label: &str) -> String {
    if label.is_empty() { name.to_owned() } else { format!("{name} [{label}]") }
}

/// The outcome of a run that no GPU can take.
fn without_gpu(devices: &[Device], claim: Claim) -> Option<RunOutcome> {
    Some(match placeable(devices, claim).err()? {
        Unplaceable::TooSmall { needs, has } => RunOutcome::TooLarge { needs, limit: has, of: "GPU memory" },
        Unplaceable::NoSuchDevice => {
            let number = claim.device.unwrap_or_default();
            let message = format!("There is no GPU {number}: {} can be used here, counted from 0.", devices.len());
            RunOutcome::Failed { message, kind: FailureKind::Run }
        }
    })
}

/// How runs are turned into jobs.
#[derive(Debug)]
pub struct Terms {
    /// Corrects costs by experience.
    pub estimator: Estimator,
    /// What the store knows, by run key.
    pub known: HashMap<String, KnownRun>,
    /// Threads of each run.
    pub threads: usize,
    /// Bytes that all runs together may take; `None`: unknown, not limited.
    pub memory: Option<u64>,
    /// GPUs that runs may have; none: unknown, not limited.
    pub devices: Vec<Device>,
    /// Do completed runs again.
    pub force: bool,
}

/// The jobs of a sweep.
#[derive(Debug)]
pub struct Queue {
    files: Vec<Arc<SweepFile>>,
    jobs: Vec<Job>,
    /// Jobs that wait, the next one last.
    waiting: Vec<usize>,
    searches: Vec<Search>,
    points: BTreeMap<(usize, usize), PlannedPoint>,
    planner: Planner,
    terms: Terms,
}

/// A search by results in one file.
#[derive(Debug)]
struct Search {
    study: usize,
    objective: Objective,
    trials: Vec<Trial>,
    wanted: usize,
    parallel: usize,
}

/// One of its points.
#[derive(Debug)]
struct Trial {
    coordinates: Vec<f64>,
    /// The jobs of the point that are not finished.
    open: usize,
    losses: Vec<f64>,
}

impl Trial {
    fn loss(&self) -> f64 {
        self.losses.iter().sum::<f64>() / self.losses.len().max(1) as f64
    }
}

impl Queue {
    /// The jobs of a plan; what the store knows to be done is so from the beginning.
    pub fn new(plan: Plan, planner: Planner, terms: Terms) -> Self {
        let Plan { files, runs, points } = plan;
        let searches = files.iter().enumerate().filter(|(_, file)| by_results(file)).filter_map(|(study, file)| {
            let sweep = file.sweep()?;
            Some(Search {
                study,
                objective: sweep.objective(),
                trials: Vec::new(),
                wanted: sweep.trials(),
                parallel: sweep.parallel(),
            })
        });
        let searches = searches.collect();
        let mut queue = Self { files, jobs: Vec::new(), waiting: Vec::new(), searches, points, planner, terms };
        for run in runs {
            queue.add(run);
        }
        queue.sort();
        queue
    }

    /// Runs get so many threads each; their times go with it.
    pub fn set_threads(&mut self, threads: usize) {
        let ratio = self.terms.threads as f64 / threads as f64;
        self.terms.threads = threads;
        self.jobs.iter_mut().for_each(|job| job.seconds = job.seconds.map(|seconds| seconds * ratio));
    }

    /// The queue of a single run.
    pub fn one(experiment: Experiment, fingerprint: &str, force: bool, threads: usize, devices: &[Device]) -> Self {
        let run_key = run_key(&experiment, fingerprint);
        let identity = Ok(Identity { run_key, fingerprint: fingerprint.into(), images: 0 });
        let run = PlannedRun {
            study: 0,
            trial: 0,
            point: String::new(),
            repeated: false,
            experiment: Arc::new(experiment),
            identity,
        };
        let plan = Plan { files: Vec::new(), runs: vec![run], points: BTreeMap::new() };
        let (estimator, known) = (Estimator::new(&[]), HashMap::new());
        let terms = Terms { estimator, known, threads, memory: None, devices: devices.to_vec(), force };
        Self::new(plan, Planner::new(PathBuf::new()), terms)
    }

    /// Every job so far.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// One job.
    pub fn job(&self, number: usize) -> &Job {
        &self.jobs[number]
    }

    /// The files of the sweep.
    pub fn files(&self) -> &[Arc<SweepFile>] {
        &self.files
    }

    /// The points by file and number; their runs are numbers of jobs.
    pub fn points(&self) -> &BTreeMap<(usize, usize), PlannedPoint> {
        &self.points
    }

    /// Points that searches by results will still choose, and the runs of each.
    pub fn to_come(&self) -> usize {
        let runs = |search: &Search| {
            let file = &self.files[search.study];
            (search.wanted - search.trials.len()) * file.repeats() * file.folds().len()
        };
        self.searches.iter().map(runs).sum()
    }

    /// The pruner of the file that a job comes from.
    pub fn pruner(&self, study: usize) -> Option<(Pruner, Objective)> {
        let sweep = self.files.get(study)?.sweep()?;
        Some((sweep.pruner()?, sweep.objective()))
    }

    /// Whether a pruned run counts as done for a file.
    pub fn accepts_pruned(&self, study: usize) -> bool {
        self.pruner(study).is_some()
    }

    fn add(&mut self, run: PlannedRun) -> usize {
        let number = self.jobs.len();
        let threads = self.terms.threads;
        let images = run.identity.as_ref().map_or(0, |identity| identity.images);
        let cost = cost(&run.experiment, images, threads);
        let memory = self.terms.estimator.memory(cost);
        let known = run.identity.as_ref().ok().and_then(|identity| self.terms.known.get(&identity.run_key)).cloned();
        let outcome = match (&run.identity, self.terms.memory) {
            (Err(message), _) => Some(RunOutcome::unreadable(message)),
            (Ok(_), Some(limit)) if memory > limit => Some(RunOutcome::TooLarge { needs: memory, limit, of: "memory" }),
            _ => known.as_ref().and_then(|known| self.done_already(run.study, known)),
        };
        let claim = Claim {
            device: run.experiment.device(),
            share: run.experiment.resources().gpu_share(),
            memory: cost.on_gpu(),
        };
        let needs_gpu = run.experiment.backend() == BackendKind::Cuda && !self.terms.devices.is_empty();
        let outcome = outcome.or_else(|| if needs_gpu { without_gpu(&self.terms.devices, claim) } else { None });
        if outcome.is_none() {
            self.waiting.push(number);
        }
        let seconds = self.terms.estimator.seconds(cost, threads);
        let (force, id) = (self.terms.force, known.map(|known| known.id));
        self.jobs.push(Job {
            number,
            run,
            memory,
            claim,
            seconds,
            work: cost.work(),
            force,
            retries: 0,
            losses: 0,
            limits_used: 0,
            outcome,
            id,
        });
        number
    }

    fn done_already(&self, study: usize, known: &KnownRun) -> Option<RunOutcome> {
        match known.status.as_str() {
            _ if self.terms.force => None,
            "completed" => Some(RunOutcome::Completed { fresh: false }),
            "diverged" => Some(RunOutcome::Diverged { fresh: false }),
            "pruned" if self.accepts_pruned(study) => Some(RunOutcome::Pruned { fresh: false }),
            _ => None,
        }
    }

    /// Longest first: the last to start should not be the longest. Equal ones in the order of the plan.
    fn sort(&mut self) {
        let jobs = &self.jobs;
        self.waiting.sort_by(|&a, &b| jobs[a].work.total_cmp(&jobs[b].work).then(b.cmp(&a)));
    }

    /// Takes the next job that `fits`.
    pub fn take(&mut self, fits: impl Fn(&Job) -> bool) -> Option<usize> {
        let place = self.waiting.iter().rposition(|&number| fits(&self.jobs[number]))?;
        Some(self.waiting.remove(place))
    }

    /// Puts a job back, to be taken next.
    pub fn again(&mut self, number: usize) {
        self.waiting.push(number);
    }

    /// The same, counting why.
    pub fn begin_again(&mut self, number: usize, why: Again) {
        let job = &mut self.jobs[number];
        match why {
            Again::Failed => job.retries += 1,
            Again::Lost => job.losses += 1,
            Again::TimedOut => job.limits_used += 1,
        }
        self.again(number);
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Job> {
        self.waiting.iter().map(|&number| &self.jobs[number])
    }

    /// Remembers which run a job is.
    pub fn set_id(&mut self, number: usize, id: String) {
        self.jobs[number].id = Some(id);
    }

    /// Remembers how a job ended. `value` is the objective of its run, where there is one.
    pub fn finish(&mut self, number: usize, outcome: RunOutcome, value: Option<f64>) {
        let job = &mut self.jobs[number];
        let (study, trial) = (job.run.study, job.run.trial);
        let good = matches!(outcome, RunOutcome::Completed { .. });
        job.outcome = Some(outcome);
        if let Some(search) = self.searches.iter_mut().find(|search| search.study == study)
            && let Some(trial) = search.trials.get_mut(trial)
        {
            let value = value.filter(|_| good).map(|value| search.objective.loss(value));
            trial.losses.push(value.filter(|loss| loss.is_finite()).unwrap_or(f64::INFINITY));
            trial.open -= 1;
        }
    }

    /// Lets searches choose as many points as their results allow. Returns jobs that are done already, for which the
    /// caller says [`Queue::finish`] with their value.
    pub fn advance(&mut self) -> Vec<usize> {
        let mut done = Vec::new();
        for index in 0..self.searches.len() {
            while let Some((study, trial, coordinates)) = self.next_trial(index) {
                let file = Arc::clone(&self.files[study]);
                let point = search::point(file.dimensions(), &coordinates);
                // A point whose values do not fit together counts as a failed one.
                let runs = self.planner.point(study, &file, trial, &point).unwrap_or_default();
                let open = runs.len();
                let losses = if runs.is_empty() { vec![f64::INFINITY] } else { Vec::new() };
                self.searches[index].trials.push(Trial { coordinates, open, losses });
                for run in runs {
                    self.points.entry((study, trial)).or_default().add(&run, self.jobs.len());
                    let number = self.add(run);
                    if self.jobs[number].outcome.is_some() {
                        done.push(number);
                    }
                }
            }
        }
        self.sort();
        done
    }

    fn next_trial(&self, index: usize) -> Option<(usize, usize, Vec<f64>)> {
        let search = &self.searches[index];
        let trial = search.trials.len();
        // Only what is so far back may be looked at, however many jobs there are: the same on every machine.
        let visible = &search.trials[..(trial + 1).saturating_sub(search.parallel).min(trial)];
        if trial >= search.wanted || visible.iter().any(|trial| trial.open > 0) {
            return None;
        }
        let tried: Vec<Tried> = visible.iter().map(|trial| (trial.coordinates.clone(), trial.loss())).collect();
        let file = &self.files[search.study];
        Some((search.study, trial, search::tpe(file.dimensions(), file.seed(), trial, &tried)))
    }

    /// Whether nothing waits and nothing will.
    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.searches.iter().all(|search| search.trials.len() >= search.wanted)
    }
}
