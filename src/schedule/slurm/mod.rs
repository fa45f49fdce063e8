//! Workers as tasks of Slurm's job arrays.
//!
//! Slurm queues, places, limits and kills; what stands here asks it for jobs and reads what it says of them. One program of
//! Slurm runs at a time, beside the coordinator; one that fails is called again later and ends nothing. Everything that
//! another coordinator must know stands on the shared folder ([`batch`]).

mod batch;
mod command;
mod script;
mod shared;
mod states;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

use self::batch::{Batch, job_name};
use self::command::{Running, Said, call};
use self::script::Script;
use self::states::{COLUMNS, Meaning, Row, Word, from_accounting, from_columns, from_json};
use super::attempt::last_lines;
use super::launcher::{Ending, Launcher, Needs, Order, State, WorkerId};
use super::queue::Job;
use crate::config::SlurmSettings;
use crate::train::folder::RunFolder;
use crate::train::worker::{BUSY, FOLDER};

pub use self::shared::{NetworkStore, on_own_disk};

/// Most tasks of an array where Slurm does not say: its default MaxArraySize.
const MAX_ARRAY: usize = 1001;

/// Runs made ready before the first of them are submitted.
const AT_ONCE: usize = 4000;

/// Least memory of a job, in bytes.
const LEAST_MEMORY: u64 = 1 << 30;

/// Memory is asked for in steps, so that runs of about the same size share an array.
const MEMORY_STEP: u64 = 512 << 20;

/// Longest time between two questions after failures.
const SLOWEST: Duration = Duration::from_secs(120);

/// Time that a killed job may take to disappear.
const LAST_WAIT: Duration = Duration::from_secs(60);

/// Jobs of one scancel.
const CANCELLED_AT_ONCE: usize = 500;

/// Other people's jobs in an answer as JSON from which on the shorter form is asked for: early versions list everybody's.
const FOREIGN: usize = 200;

/// Why Slurm cannot be used.
#[derive(Debug, Error)]
pub enum SlurmError {
    /// Its programs are not there.
    #[error("`{0}` was not found: --launcher slurm needs Slurm's programs. Call it on a login node of the cluster.")]
    Missing(&'static str),
    /// The shared folder.
    #[error("The shared folder {} cannot be used: {error}. Name another with --shared.", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A path that cannot stand in a script.
    #[error(
        "The shared folder {0:?} has a quotation mark, a backslash or a line break in its name, which sbatch cannot take."
    )]
    Name(PathBuf),
}

/// A run in Slurm's hands.
#[derive(Debug)]
struct Task {
    batch: usize,
    index: u32,
    word: Option<Word>,
    /// Answers in a row that said the same end, or nothing.
    times: usize,
    /// Whether it was in the queue when it was last named, or submitted.
    queued: bool,
    ending: Option<Ending>,
    stopped: bool,
    killed: Option<Instant>,
}

/// What a program of Slurm is asked.
#[derive(Debug)]
enum Question {
    Submit(usize),
    States,
    Accounting,
    Cancel(Vec<(WorkerId, bool)>),
}

/// Asks Slurm for jobs and knows how they are.
#[derive(Debug)]
pub struct SlurmLauncher {
    settings: SlurmSettings,
    root: PathBuf,
    program: PathBuf,
    max_array: usize,
    /// For the jobs' names.
    experiment: String,
    batches: Vec<Batch>,
    tasks: Vec<Task>,
    /// Arrays that Slurm has not taken yet.
    unsubmitted: VecDeque<usize>,
    /// Arrays that may or may not have been taken, and in how many answers they were not found.
    uncertain: HashMap<usize, usize>,
    needs: HashMap<usize, Needs>,
    /// Tasks to be stopped, and to be killed.
    cancel: Vec<(WorkerId, bool)>,
    asked: Option<(Question, Running)>,
    /// When Slurm is asked for states next.
    next_states: Instant,
    /// When it is asked to take arrays next.
    next_submission: Instant,
    /// When it is asked to stop jobs next.
    next_cancel: Instant,
    failures: u32,
    answers: usize,
    json: bool,
    accounting: bool,
    unknown: HashSet<String>,
    notices: Vec<String>,
}

impl SlurmLauncher {
    /// Reads what earlier coordinators left on the shared folder, and puts the program there for the jobs.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub fn new(settings: SlurmSettings, shared: &Path, experiment: &str) -> Result<Self, SlurmError> {
        let shared = std::path::absolute(shared).unwrap_or_else(|_| shared.to_owned());
        let unusable = |error| SlurmError::Folder { path: shared.clone(), error };
        if shared.to_string_lossy().contains(|c: char| c.is_control() || "\"\\".contains(c)) {
            return Err(SlurmError::Name(shared));
        }
        let max_array = max_array()?;
        let root = shared.join("slurm");
        let program = shared::put_program(&shared.join("bin")).map_err(unusable)?;
        let batches = Batch::open_all(&root).map_err(unusable)?;
        let notices = shared::lock_problem(&shared).into_iter().collect();
        let mut launcher = Self::empty(settings, root, program, max_array, experiment);
        launcher.notices = notices;
        for batch in batches {
            launcher.adopt(batch);
        }
        Ok(launcher)
    }

    fn empty(settings: SlurmSettings, root: PathBuf, program: PathBuf, max_array: usize, experiment: &str) -> Self {
        Self {
            settings,
            root,
            program,
            max_array,
            experiment: experiment.to_owned(),
            batches: Vec::new(),
            tasks: Vec::new(),
            unsubmitted: VecDeque::new(),
            uncertain: HashMap::new(),
            needs: HashMap::new(),
            cancel: Vec::new(),
            asked: None,
            next_states: Instant::now(),
            next_submission: Instant::now(),
            next_cancel: Instant::now(),
            failures: 0,
            answers: 0,
            json: true,
            accounting: true,
            unknown: HashSet::new(),
            notices: Vec::new(),
        }
    }

    /// The scripts of orders, as they would be submitted; nothing is written and nothing asked but for the largest array.
    ///
    /// # Errors
    /// [`SlurmError::Missing`] is none here: where Slurm is not, its defaults are taken.
    pub fn scripts(settings: &SlurmSettings, shared: &Path, experiment: &str, needs: &[Needs]) -> Vec<String> {
        let shared = std::path::absolute(shared).unwrap_or_else(|_| shared.to_owned());
        let most = max_array().unwrap_or(MAX_ARRAY - 1);
        let folder = shared.join("slurm/TOKEN");
        let program = shared.join("bin").join(shared::program_name().unwrap_or_else(|_| "emo-runner".to_owned()));
        let name = job_name(experiment, &folder);
        let mut counts: BTreeMap<&Needs, usize> = BTreeMap::new();
        needs.iter().for_each(|needs| *counts.entry(needs).or_default() += 1);
        let cut = |(needs, count): (&Needs, usize)| -> Vec<String> {
            let sizes = (0..count).step_by(most).map(|first| most.min(count - first));
            let script = |tasks| Script { name: &name, tasks, needs, folder: &folder, program: &program };
            sizes.map(|tasks| script(tasks).text(settings)).collect()
        };
        counts.into_iter().flat_map(cut).collect()
    }

    /// What a job of `job` is to have.
    pub fn needs_of(settings: &SlurmSettings, job: &Job) -> Needs {
        let resources = job.run.experiment.resources();
        let estimate = (2 * job.memory).max(LEAST_MEMORY).next_multiple_of(MEMORY_STEP);
        Needs {
            cpus: resources.cpus().unwrap_or(settings.cpus),
            memory: resources.memory().or(settings.memory()).unwrap_or(estimate),
            gpus: resources.gpus().unwrap_or(usize::from(job.needs_gpu())),
            time: resources.time().or(settings.time()),
        }
    }

    /// Takes up what an earlier coordinator left.
    fn adopt(&mut self, batch: Batch) {
        let number = self.batches.len();
        if batch.job.is_none() {
            self.uncertain.insert(number, 0);
        }
        self.add_tasks(number, batch.runs.len(), false);
        self.batches.push(batch);
    }

    fn add_tasks(&mut self, batch: usize, count: usize, queued: bool) -> Vec<WorkerId> {
        let first = self.tasks.len();
        let tasks = (0..count as u32).map(|index| Task {
            batch,
            index,
            word: None,
            times: 0,
            queued,
            ending: None,
            stopped: false,
            killed: None,
        });
        self.tasks.extend(tasks);
        (first..self.tasks.len()).collect()
    }

    /// Writes an array down; it is submitted at the next look.
    fn add_batch(&mut self, orders: &[&Order], needs: &Needs) -> io::Result<Vec<WorkerId>> {
        let folder = Batch::folder(&self.root)?;
        let name = job_name(&self.experiment, &folder);
        let script = Script { name: &name, tasks: orders.len(), needs, folder: &folder, program: &self.program }
            .text(&self.settings);
        let runs: Vec<&RunFolder> = orders.iter().map(|order| &order.folder).collect();
        let batch = Batch::write(folder, &runs, &script)?;
        let number = self.batches.len();
        self.batches.push(batch);
        self.needs.insert(number, needs.clone());
        self.unsubmitted.push_back(number);
        Ok(self.add_tasks(number, orders.len(), true))
    }

    /// `12_3`.
    fn name(&self, worker: WorkerId) -> Option<String> {
        let task = &self.tasks[worker];
        Some(format!("{}_{}", self.batches[task.batch].job?, task.index))
    }

    /// The next question, the most urgent first.
    fn ask(&mut self) {
        let now = Instant::now();
        if now >= self.next_cancel && self.ask_to_cancel() {
            return;
        }
        if now >= self.next_submission
            && let Some(&batch) = self.unsubmitted.front()
        {
            let folder = &self.batches[batch].folder;
            let script = folder.join("script.sh").display().to_string();
            let chdir = format!("--chdir={}", folder.display());
            let running = Running::start("sbatch", vec!["--parsable".to_owned(), chdir, script]);
            self.asked = Some((Question::Submit(batch), running));
            return;
        }
        if now >= self.next_states && (!self.is_ready() || self.has_open_tasks()) {
            let user = format!("--user={}", rustix::process::getuid().as_raw());
            let form = if self.json { "--json".to_owned() } else { format!("--format={COLUMNS}") };
            let arguments = vec![user, "--states=all".to_owned(), "--noheader".to_owned(), form];
            self.asked = Some((Question::States, Running::start("squeue", arguments)));
        }
    }

    fn has_open_tasks(&self) -> bool {
        self.tasks.iter().any(|task| task.ending.is_none())
    }

    /// Stops jobs that Slurm knows, as many as one call takes. One that is being submitted waits for its number.
    fn ask_to_cancel(&mut self) -> bool {
        let has_name = |&(worker, _): &(WorkerId, bool)| self.name(worker).is_some();
        let Some(kill) = self.cancel.iter().find(|&worker| has_name(worker)).map(|&(_, kill)| kill) else {
            return false;
        };
        let (mut now, mut later): (Vec<_>, Vec<_>) =
            self.cancel.iter().partition(|&worker| worker.1 == kill && has_name(worker));
        later.extend(now.drain(CANCELLED_AT_ONCE.min(now.len())..));
        let mut arguments: Vec<String> = now.iter().filter_map(|&(worker, _)| self.name(worker)).collect();
        self.cancel = later;
        if kill {
            arguments.splice(0..0, ["--signal=KILL".to_owned(), "--full".to_owned()]);
        }
        self.asked = Some((Question::Cancel(now), Running::start("scancel", arguments)));
        self.next_states = Instant::now();
        true
    }

    fn hear(&mut self, question: &Question, said: Said) {
        match question {
            Question::Submit(batch) => self.hear_submission(*batch, said),
            Question::States => self.hear_states(said),
            Question::Accounting => self.hear_accounting(&said),
            Question::Cancel(workers) => match said {
                Said::Ill(message) if is_passing(&message) => self.cancel_later(workers),
                Said::Silence => self.cancel_later(workers),
                // A job that is gone cannot be stopped, which is as well.
                Said::Ill(_) | Said::Well(_) | Said::Missing => {}
            },
        }
    }

    fn cancel_later(&mut self, workers: &[(WorkerId, bool)]) {
        self.cancel.extend(workers);
        self.next_cancel = Instant::now() + self.settings.poll();
    }

    fn hear_submission(&mut self, batch: usize, said: Said) {
        self.unsubmitted.pop_front();
        match said {
            Said::Well(text) => match text.trim().split(';').next().and_then(|job| job.parse::<u64>().ok()) {
                Some(job) => self.note_job(batch, job, "submitted"),
                None => {
                    self.uncertain.insert(batch, 0);
                }
            },
            // It may have been taken: the next answers tell.
            Said::Silence => {
                self.uncertain.insert(batch, 0);
            }
            Said::Missing => self.refuse(batch, "sbatch was not found".to_owned()),
            Said::Ill(message) if is_passing(&message) => self.put_off(batch, &message),
            Said::Ill(message) => self.refuse(batch, format!("Slurm does not take the job: {message}")),
        }
    }

    fn note_job(&mut self, batch: usize, job: u64, how: &str) {
        if let Err(error) = self.batches[batch].submitted(job) {
            self.notices.push(format!("the number of Slurm's job {job} could not be written down: {error}"));
        }
        let runs = self.batches[batch].runs.len();
        let plural = if runs == 1 { "run" } else { "runs" };
        self.notices.push(format!("{how} {runs} {plural} as job {job} of Slurm"));
        self.next_submission = Instant::now();
        self.next_states = Instant::now();
    }

    /// Slurm takes no more for now: tries again later, with half as many runs.
    fn put_off(&mut self, batch: usize, message: &str) {
        self.failures += 1;
        self.next_submission = Instant::now() + self.pause_after_failures();
        let waiting: usize = self.unsubmitted.iter().map(|&batch| self.batches[batch].runs.len()).sum();
        let first = message.lines().last().unwrap_or_default();
        let waiting = waiting + self.batches[batch].runs.len();
        self.notices.push(format!("Slurm takes no more jobs now, {waiting} runs are still to be submitted: {first}"));
        if self.batches[batch].runs.len() > 1 && is_limit(message) && self.halve(batch).is_ok() {
            return;
        }
        self.unsubmitted.push_front(batch);
    }

    /// Two arrays instead of one that is too large.
    fn halve(&mut self, batch: usize) -> io::Result<()> {
        let needs = self.needs.get(&batch).cloned().unwrap_or_default();
        let tasks: Vec<WorkerId> = (0..self.tasks.len()).filter(|&task| self.tasks[task].batch == batch).collect();
        let lines = std::fs::read_to_string(self.batches[batch].folder.join("tasks"))?;
        let folders: Vec<RunFolder> = lines.lines().map(RunFolder::new).collect();
        let middle = tasks.len().div_ceil(2);
        let orders: Vec<Order> =
            folders.into_iter().map(|folder| Order { folder, needs: needs.clone(), device: None }).collect();
        let mut halves = Vec::new();
        for part in orders.chunks(middle) {
            let first = self.tasks.len();
            self.add_batch(&part.iter().collect::<Vec<_>>(), &needs)?;
            // The workers keep their numbers.
            self.tasks.truncate(first);
            let number = self.batches.len() - 1;
            self.unsubmitted.pop_back();
            halves.push(number);
        }
        for (place, &task) in tasks.iter().enumerate() {
            self.tasks[task].batch = halves[place / middle];
            self.tasks[task].index = (place % middle) as u32;
        }
        halves.iter().rev().for_each(|&half| self.unsubmitted.push_front(half));
        self.batches[batch].put_away();
        Ok(())
    }

    fn refuse(&mut self, batch: usize, message: String) {
        let of_batch = |task: &&mut Task| task.batch == batch;
        self.tasks.iter_mut().filter(of_batch).for_each(|task| task.ending = Some(Ending::Refused(message.clone())));
        self.batches[batch].put_away();
    }

    fn pause_after_failures(&self) -> Duration {
        (self.settings.poll() * 2_u32.saturating_pow(self.failures.min(6))).min(SLOWEST.max(self.settings.poll()))
    }

    fn hear_states(&mut self, said: Said) {
        let rows = match said {
            Said::Well(text) if self.json => from_json(&text),
            Said::Well(text) => Some(from_columns(&text)),
            // Early versions, and those built without it, know no --json.
            Said::Ill(_) if self.json && self.answers == 0 => None,
            Said::Ill(message) => return self.no_answer(&message),
            Said::Silence => return self.no_answer("squeue gave no answer in time"),
            Said::Missing => return self.no_answer("squeue was not found"),
        };
        let Some(rows) = rows else {
            self.json = false;
            self.next_states = Instant::now();
            return;
        };
        (self.failures, self.answers) = (0, self.answers + 1);
        self.next_states = Instant::now() + self.settings.poll();
        let known: HashSet<u64> = self.batches.iter().filter_map(|batch| batch.job).collect();
        if self.json && rows.iter().filter(|row| !known.contains(&row.array)).count() > FOREIGN {
            self.json = false;
        }
        self.find_uncertain(&rows);
        self.take_rows(&rows, true);
        self.ask_accounting();
    }

    /// One question without an answer ends nothing.
    fn no_answer(&mut self, message: &str) {
        self.failures += 1;
        let pause = self.pause_after_failures();
        self.next_states = Instant::now() + pause;
        let first = message.lines().last().unwrap_or_default();
        let text = format!("Slurm does not answer, asked again in {:.0} s: {first}", pause.as_secs_f64());
        self.notices.push(text);
    }

    /// Arrays of which it is not known whether Slurm took them have their name in the answer, or were not taken.
    fn find_uncertain(&mut self, rows: &[Row]) {
        let waiting: Vec<usize> = self.uncertain.keys().copied().collect();
        for batch in waiting {
            let token = self.batches[batch].token();
            if let Some(row) = rows.iter().find(|row| row.name.rsplit(':').next() == Some(token.as_str())) {
                self.uncertain.remove(&batch);
                self.note_job(batch, row.array, "found");
                continue;
            }
            let times = self.uncertain.entry(batch).or_default();
            *times += 1;
            if *times >= 2 {
                self.uncertain.remove(&batch);
                match self.needs.contains_key(&batch) {
                    true => self.unsubmitted.push_back(batch),
                    // An earlier coordinator's, which did not come to submit it.
                    false => self.forget(batch),
                }
            }
        }
    }

    fn forget(&mut self, batch: usize) {
        let message = "Slurm never took it".to_owned();
        let of_batch = |task: &&mut Task| task.batch == batch;
        self.tasks.iter_mut().filter(of_batch).for_each(|task| task.ending = Some(Ending::Lost(message.clone())));
        self.batches[batch].put_away();
    }

    /// What Slurm says of each task. One that is not named, though its array is known, is on its way or gone.
    fn take_rows(&mut self, rows: &[Row], whole: bool) {
        let mut words: HashMap<(u64, u32), &Word> = HashMap::new();
        for row in rows {
            words.extend(row.tasks.iter().map(|&task| ((row.array, task), &row.word)));
        }
        for worker in 0..self.tasks.len() {
            let task = &self.tasks[worker];
            let Some(job) = self.batches[task.batch].job.filter(|_| task.ending.is_none()) else { continue };
            match words.get(&(job, task.index)) {
                Some(&word) => self.take_word(worker, word),
                None if whole => {
                    let task = &mut self.tasks[worker];
                    let gone = Word { state: String::new(), ..Word::default() };
                    task.times = if task.word.as_ref() == Some(&gone) { task.times + 1 } else { 1 };
                    task.word = Some(gone);
                }
                None => {}
            }
        }
        self.put_away_what_is_over();
    }

    fn take_word(&mut self, worker: WorkerId, word: &Word) {
        let task = &mut self.tasks[worker];
        task.times = if task.word.as_ref() == Some(word) { task.times + 1 } else { 1 };
        task.word = Some(word.clone());
        let times = task.times;
        let meaning = word.meaning();
        task.queued = meaning == Meaning::Waits;
        if meaning == Meaning::Unknown && self.unknown.insert(word.state.clone()) {
            let name = self.name(worker).unwrap_or_default();
            self.notices.push(format!("job {name} of Slurm is in a state not known here: {}", word.told()));
        }
        // Slurm puts back what it lost; only what stays lost is over.
        if meaning == Meaning::Lost && times < 3 {
            return;
        }
        let ending = self.ending(worker, word, meaning);
        self.tasks[worker].ending = ending;
    }

    fn ending(&self, worker: WorkerId, word: &Word, meaning: Meaning) -> Option<Ending> {
        let told = format!("Slurm: job {} {}", self.name(worker).unwrap_or_default(), word.told());
        let needs = self.needs.get(&self.tasks[worker].batch);
        Some(match meaning {
            Meaning::Waits | Meaning::Works | Meaning::Unknown => return None,
            Meaning::Ended if word.exit == Some(i32::from(BUSY)) => Ending::Busy,
            Meaning::Ended => Ending::Gone(self.with_log(worker, &told, word)),
            Meaning::OutOfMemory => {
                let had = needs.map(|needs| format!(" It had {} MiB.", needs.memory >> 20)).unwrap_or_default();
                Ending::Gone(format!("{told}: memory ran out.{had} Set resources.memory to more."))
            }
            Meaning::TimedOut => Ending::TimedOut { limit: needs.and_then(|needs| needs.time), reason: told },
            Meaning::Cancelled => Ending::Cancelled(told),
            Meaning::Lost => Ending::Lost(told),
        })
    }

    /// What a worker left that said nothing: where its log is empty too, it did not begin.
    fn with_log(&self, worker: WorkerId, told: &str, word: &Word) -> String {
        let task = &self.tasks[worker];
        let batch = &self.batches[task.batch];
        let hint = match word.exit {
            Some(code) if code == i32::from(FOLDER) => shared::free_space(&self.root)
                .map(|free| format!(" It could not use its run's folder, on whose disk {free} are free."))
                .unwrap_or_default(),
            Some(126 | 127) => " The node could not start the program: does it see the shared folder?".to_owned(),
            _ => String::new(),
        };
        let log = last_lines(&batch.log(task.index as usize));
        format!("{told}, and the run did not say why.{hint}\n{log}").trim_end().to_owned()
    }

    /// Asks the accounting for tasks that squeue does not name any more, all in one.
    fn ask_accounting(&mut self) {
        let gone: Vec<WorkerId> = (0..self.tasks.len())
            .filter(|&worker| {
                let task = &self.tasks[worker];
                let is_gone = task.word.as_ref().is_some_and(|word| word.state.is_empty());
                task.ending.is_none() && is_gone && task.times >= 2
            })
            .collect();
        if gone.is_empty() {
            return;
        }
        if !self.accounting {
            return gone.into_iter().for_each(|worker| self.lose(worker));
        }
        let jobs: HashSet<u64> = gone.iter().filter_map(|&worker| self.batches[self.tasks[worker].batch].job).collect();
        let mut jobs: Vec<String> = jobs.into_iter().map(|job| job.to_string()).collect();
        jobs.sort();
        let arguments = vec![
            format!("--jobs={}", jobs.join(",")),
            "--noheader".to_owned(),
            "--parsable2".to_owned(),
            "--array".to_owned(),
            "--format=JobID,State,ExitCode,NodeList".to_owned(),
        ];
        self.asked = Some((Question::Accounting, Running::start("sacct", arguments)));
    }

    fn hear_accounting(&mut self, said: &Said) {
        match said {
            Said::Well(text) => self.take_rows(&from_accounting(text), false),
            // Many clusters keep no accounts.
            _ => self.accounting = false,
        }
        let still_gone = |task: &Task| {
            task.ending.is_none() && task.word.as_ref().is_some_and(|word| word.state.is_empty()) && task.times >= 2
        };
        let gone: Vec<WorkerId> = (0..self.tasks.len()).filter(|&worker| still_gone(&self.tasks[worker])).collect();
        gone.into_iter().for_each(|worker| self.lose(worker));
    }

    /// Nobody says what became of a task. Of one that scancel takes out of an array's queue nothing is left.
    fn lose(&mut self, worker: WorkerId) {
        let name = self.name(worker).unwrap_or_default();
        self.tasks[worker].ending = Some(match self.tasks[worker].queued {
            true => Ending::Cancelled(format!("Slurm: job {name} was taken out of the queue")),
            false => Ending::Lost(format!("Slurm does not know job {name} any more")),
        });
    }

    fn put_away_what_is_over(&mut self) {
        let open: HashSet<usize> =
            self.tasks.iter().filter(|task| task.ending.is_none()).map(|task| task.batch).collect();
        for (number, batch) in self.batches.iter().enumerate() {
            if batch.job.is_some() && !open.contains(&number) && batch.folder.exists() {
                batch.put_away();
            }
        }
    }
}

impl Launcher for SlurmLauncher {
    fn is_detached(&self) -> bool {
        true
    }

    fn needs(&self, job: &Job, _threads: usize) -> Needs {
        Self::needs_of(&self.settings, job)
    }

    fn batch(&self) -> usize {
        AT_ONCE
    }

    /// Files of many runs are looked at less often.
    fn pace(&self, working: usize) -> Duration {
        let fast = self.settings.poll().min(Duration::from_secs(1));
        fast.max(Duration::from_millis(5) * u32::try_from(working).unwrap_or(u32::MAX))
    }

    fn look(&mut self) -> Vec<String> {
        if let Some((question, running)) = self.asked.take() {
            match running.said() {
                Some(said) => self.hear(&question, said),
                None => self.asked = Some((question, running)),
            }
        }
        if self.asked.is_none() {
            self.ask();
        }
        std::mem::take(&mut self.notices)
    }

    /// Before Slurm has said which jobs there are, one could be begun twice.
    fn is_ready(&self) -> bool {
        self.answers > 0 && self.uncertain.is_empty()
    }

    fn find(&mut self, run: &RunFolder) -> Option<WorkerId> {
        let id = run.id();
        let is_at_it = |task: &Task| {
            let works = |word: &Word| matches!(word.meaning(), Meaning::Waits | Meaning::Works | Meaning::Unknown);
            let named = self.batches[task.batch].runs.get(task.index as usize) == Some(&id);
            // One whose end is being tidied up does nothing any more.
            let alive = |word: &&Word| !word.state.is_empty() && !word.state.contains("COMPLETING");
            named && task.ending.is_none() && !task.stopped && task.word.as_ref().filter(alive).is_some_and(works)
        };
        self.tasks.iter().position(is_at_it)
    }

    fn start(&mut self, orders: Vec<Order>) -> io::Result<Vec<WorkerId>> {
        let mut groups: BTreeMap<&Needs, Vec<usize>> = BTreeMap::new();
        for (place, order) in orders.iter().enumerate() {
            groups.entry(&order.needs).or_default().push(place);
        }
        let mut workers = vec![0; orders.len()];
        for (needs, places) in groups {
            for part in places.chunks(self.max_array) {
                let part_orders: Vec<&Order> = part.iter().map(|&place| &orders[place]).collect();
                let numbers = self.add_batch(&part_orders, needs)?;
                part.iter().zip(numbers).for_each(|(&place, number)| workers[place] = number);
            }
        }
        Ok(workers)
    }

    fn state(&mut self, worker: WorkerId) -> io::Result<State> {
        let Some(task) = self.tasks.get(worker) else { return Err(io::ErrorKind::NotFound.into()) };
        if let Some(ending) = &task.ending {
            return Ok(State::Ended(ending.clone()));
        }
        if task.killed.is_some_and(|killed| killed.elapsed() > LAST_WAIT) {
            let name = self.name(worker).unwrap_or_default();
            return Ok(State::Ended(Ending::Lost(format!("Slurm did not end job {name} in time"))));
        }
        let Some(word) = &task.word else {
            let submitted = self.batches[task.batch].job.is_some();
            let reason = if submitted { "submitted" } else { "not submitted yet" };
            return Ok(State::Waiting(reason.to_owned()));
        };
        Ok(match word.meaning() {
            _ if word.state.is_empty() && task.queued => State::Waiting("not in the queue".to_owned()),
            Meaning::Waits if word.reason.is_empty() => State::Waiting(word.state.to_lowercase()),
            Meaning::Waits => State::Waiting(word.reason.clone()),
            _ => State::Running,
        })
    }

    fn stop(&mut self, worker: WorkerId) {
        let batch = self.tasks[worker].batch;
        let task = &mut self.tasks[worker];
        task.stopped = true;
        if self.unsubmitted.contains(&batch)
            && !matches!(self.asked, Some((Question::Submit(asked), _)) if asked == batch)
        {
            task.ending = Some(Ending::Cancelled("it was never submitted".to_owned()));
            if self.tasks.iter().all(|task| task.batch != batch || task.ending.is_some()) {
                self.unsubmitted.retain(|&other| other != batch);
                self.batches[batch].put_away();
            }
        } else {
            self.cancel.push((worker, false));
        }
    }

    fn kill(&mut self, worker: WorkerId) {
        self.tasks[worker].killed = Some(Instant::now());
        self.cancel.push((worker, true));
    }

    /// Slurm's jobs are not this terminal's.
    fn pause(&mut self, _worker: WorkerId) {}

    fn go_on(&mut self, _worker: WorkerId) {}

    /// A submission that is on its way is waited for, so that its number is written down.
    fn leave(&mut self) {
        if let Some((question, running)) = self.asked.take()
            && matches!(question, Question::Submit(_) | Question::Cancel(_))
        {
            self.hear(&question, running.wait());
        }
    }
}

/// Whether sbatch may take the same later.
fn is_passing(message: &str) -> bool {
    let passing = [
        "temporarily",
        "try again",
        "Unable to contact",
        "Socket timed out",
        "Connection refused",
        "Connection reset",
        "Zero Bytes",
        "Communication connection failure",
        "Slurm backup controller",
        "Transport endpoint",
    ];
    is_limit(message) || passing.iter().any(|part| message.contains(part))
}

/// Whether there are too many jobs for Slurm's limits, now or in one array.
fn is_limit(message: &str) -> bool {
    ["SubmitLimit", "SubmitJob", "job submit limit", "Maximum number of jobs", "MaxJobCount", "MaxSubmit"]
        .iter()
        .any(|part| message.contains(part))
}

/// Most tasks of an array: MaxArraySize less one, for tasks are numbered from 0.
fn max_array() -> Result<usize, SlurmError> {
    let said = call("scontrol", &["show".to_owned(), "config".to_owned()]);
    let text = match said {
        Said::Missing => return Err(SlurmError::Missing("scontrol")),
        Said::Well(text) => text,
        // A controller that is away is met again soon enough.
        Said::Ill(_) | Said::Silence => String::new(),
    };
    let line = text.lines().find_map(|line| line.strip_prefix("MaxArraySize"));
    let size = line.and_then(|line| line.split('=').nth(1)?.trim().parse::<usize>().ok());
    Ok(size.unwrap_or(MAX_ARRAY).saturating_sub(1).max(1))
}
