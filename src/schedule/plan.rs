//! From paths to runs: which files, which points of each, which run keys; equal runs once.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use thiserror::Error;

use super::identity::run_key;
use super::search;
use crate::config::{ConfigError, Experiment, Point, SearchMethod, Source, SweepFile, Words, load_sweep};
use crate::data::source::OpenSource;
use crate::model::shapes::shapes;
use crate::train::backend::{self, BackendError, Place};

/// Runs of one sweep at most.
const MOST_RUNS: usize = 1_000_000;

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// A folder or file cannot be read.
    #[error("{} cannot be read: {error}.", path.display())]
    Path {
        /// What was named.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A folder without experiment files.
    #[error(
        "There is no experiment file in {}: files end in .toml, and names that begin with _ or . are passed over.",
        .0.display()
    )]
    NoFiles(PathBuf),
    /// Files with mistakes.
    #[error("{} experiment files are wrong.", .0.len())]
    Config(Vec<ConfigError>),
    /// A backend that this build or machine does not have.
    #[error("{}: {error}", file.display())]
    Backend {
        /// The file that asks for it.
        file: PathBuf,
        /// Why not.
        error: BackendError,
    },
    /// More runs than anybody waits for.
    #[error("{} means {runs} runs; at most {MOST_RUNS} are possible. Use method = \"random\" with trials = N.", file.display())]
    TooMany {
        /// The file.
        file: PathBuf,
        /// How many, in words where there is no number for it.
        runs: String,
    },
}

/// One run of a plan.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Which file of the plan it comes from.
    pub study: usize,
    /// Which point of that file.
    pub trial: usize,
    /// The point in words; empty where a file means one point.
    pub point: String,
    /// Whether the point is run with several seeds.
    pub repeated: bool,
    /// What to do.
    pub experiment: Arc<Experiment>,
    /// Its identity and the number of its images, or why its data cannot be read.
    pub identity: Result<Identity, String>,
}

impl PlannedRun {
    /// What tells it from the other runs of its file, in words.
    pub fn label(&self) -> String {
        let seed = self.repeated.then(|| format!("seed={}", self.experiment.seed()));
        let fold = self.experiment.split().fold();
        let fold = (fold > 0).then(|| format!("fold={fold}"));
        let point = Some(self.point.clone()).filter(|point| !point.is_empty());
        [point, seed, fold].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// What follows from experiment and data together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// See [`run_key`].
    pub run_key: String,
    /// Fingerprint of the data.
    pub fingerprint: Arc<str>,
    /// Images of the data.
    pub images: usize,
}

/// All files and the runs that are known beforehand.
#[derive(Debug)]
pub struct Plan {
    /// The files, in order.
    pub files: Vec<Arc<SweepFile>>,
    /// Runs of all files but those of `tpe`, whose points depend on results; equal runs once.
    pub runs: Vec<PlannedRun>,
    /// The points, by file and number.
    pub points: BTreeMap<(usize, usize), PlannedPoint>,
}

/// A point and the runs that it stands on, which may be another point's as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedPoint {
    /// Name of the experiment.
    pub name: String,
    /// The point in words; empty where a file means one point.
    pub point: String,
    /// Places in the list of runs.
    pub runs: Vec<usize>,
}

impl PlannedPoint {
    /// Adds a run that may be another point's as well.
    pub fn add(&mut self, run: &PlannedRun, place: usize) {
        self.name = run.experiment.name().to_owned();
        self.point.clone_from(&run.point);
        self.runs.push(place);
    }
}

/// Fingerprint and number of images of a source, or why it cannot be read.
type Surveyed = Result<(Arc<str>, usize), String>;

/// Makes runs of files. Looks at every data set once.
#[derive(Debug)]
pub struct Planner {
    cache: PathBuf,
    place: Place,
    sources: Mutex<HashMap<(String, [String; 2]), Surveyed>>,
}

impl Planner {
    /// `cache` is the folder in which hashes of files are remembered.
    pub fn new(cache: PathBuf) -> Self {
        Self { cache, place: Place::Here, sources: Mutex::default() }
    }

    /// The same for runs that are to work at a place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The plan of some files.
    ///
    /// # Errors
    /// [`PlanError`], with the mistakes of all files. Data that cannot be read fail only the runs that need them.
    pub fn plan(&self, files: Vec<SweepFile>) -> Result<Plan, PlanError> {
        let files: Vec<Arc<SweepFile>> = files.into_iter().map(Arc::new).collect();
        let mut runs = wanted(&files, self.place)?;
        check_backends(&files, &runs, self.place)?;
        runs.retain(|run| !by_results(&files[run.study]));
        // Hashing files works in parallel itself, so it is done before, and not within, the parallel loop.
        runs.iter().for_each(|run| drop(self.survey(&run.experiment)));
        let runs = runs.into_par_iter().map(|run| self.identify(run)).collect();
        Ok(once(files, runs))
    }

    /// The runs of one point: every repeat and every fold.
    ///
    /// # Errors
    /// [`ConfigError`] when the point's values do not fit together.
    pub fn point(
        &self,
        study: usize,
        file: &SweepFile,
        trial: usize,
        point: &Point,
    ) -> Result<Vec<PlannedRun>, ConfigError> {
        let runs = experiments(study, file, trial, point, self.place)?;
        Ok(runs.into_iter().map(|run| self.identify(run)).collect())
    }

    fn survey(&self, experiment: &Experiment) -> Surveyed {
        let data = experiment.data();
        let name = (data.source().to_string(), data.classes().clone());
        let mut sources = self.sources.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        sources.entry(name).or_insert_with(|| survey(data.source(), data.classes(), &self.cache)).clone()
    }

    fn identify(&self, run: Wanted) -> PlannedRun {
        let Wanted { study, trial, point, repeated, experiment } = run;
        let identity = self.survey(&experiment).map(|(fingerprint, images)| Identity {
            run_key: run_key(&experiment, &fingerprint),
            fingerprint,
            images,
        });
        PlannedRun { study, trial, point, repeated, experiment, identity }
    }
}

/// A run whose data nobody has looked at yet.
struct Wanted {
    study: usize,
    trial: usize,
    point: String,
    repeated: bool,
    experiment: Arc<Experiment>,
}

/// The runs of all files, as far as they are known beforehand.
fn wanted(files: &[Arc<SweepFile>], place: Place) -> Result<Vec<Wanted>, PlanError> {
    let mut points = Vec::new();
    for (study, file) in files.iter().enumerate() {
        points.extend((0..known_points(file)?).map(|trial| (study, trial)));
    }
    let made: Vec<Result<Vec<Wanted>, ConfigError>> = points
        .par_iter()
        .map(|&(study, trial)| experiments(study, &files[study], trial, &first_point(&files[study], trial), place))
        .collect();
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    for made in made {
        match made {
            Ok(made) => runs.extend(made),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(runs) } else { Err(PlanError::Config(distinct(errors))) }
}

/// Checks every point of a file that is known beforehand, without its data, and counts its runs.
///
/// # Errors
/// [`PlanError::Config`] or [`PlanError::TooMany`].
pub fn check(file: SweepFile) -> Result<usize, PlanError> {
    let file = Arc::new(file);
    wanted(std::slice::from_ref(&file), Place::Here)?;
    Ok(file.points().unwrap_or(usize::MAX).saturating_mul(file.repeats()).saturating_mul(file.folds().len()))
}

/// One experiment of a file, to reckon with.
///
/// # Errors
/// [`PlanError::Config`] when its values do not fit together.
pub fn sample(file: &SweepFile) -> Result<Experiment, PlanError> {
    let folds = file.folds();
    let experiment = file.experiment(&first_point(file, 0), 0, folds.first().copied().unwrap_or(0));
    experiment.map_err(|error| PlanError::Config(vec![error]))
}

/// Every repeat and every fold of a point.
fn experiments(
    study: usize,
    file: &SweepFile,
    trial: usize,
    point: &Point,
    place: Place,
) -> Result<Vec<Wanted>, ConfigError> {
    let folds = file.folds();
    let words = Words(point).to_string();
    let mut runs = Vec::with_capacity(file.repeats() * folds.len());
    for repeat in 0..file.repeats() {
        for &fold in &folds {
            let experiment = backend::settled(file.experiment(point, repeat, fold)?, place);
            fits(file, &experiment, point)?;
            let (point, repeated) = (words.clone(), file.repeats() > 1);
            runs.push(Wanted { study, trial, point, repeated, experiment: Arc::new(experiment) });
        }
    }
    Ok(runs)
}

fn survey(source: &Source, classes: &[String; 2], cache: &Path) -> Surveyed {
    let open = OpenSource::open(source, classes).map_err(|error| error.to_string())?;
    let fingerprint = open.fingerprint(Some(cache)).map_err(|error| error.to_string())?;
    Ok((fingerprint.to_string().into(), open.items().len()))
}

/// Whether the points of a file depend on results.
pub fn by_results(file: &SweepFile) -> bool {
    file.sweep().is_some_and(|sweep| sweep.method() == SearchMethod::Tpe)
}

/// Points of a file to make beforehand; of a search by results one, to find mistakes.
fn known_points(file: &SweepFile) -> Result<usize, PlanError> {
    let too_many = |runs: String| PlanError::TooMany { file: file.path().to_owned(), runs };
    let points = file.points().ok_or_else(|| too_many("more than 10^18".to_owned()))?;
    let runs = points.saturating_mul(file.repeats()).saturating_mul(file.folds().len());
    if runs > MOST_RUNS {
        return Err(too_many(runs.to_string()));
    }
    Ok(if by_results(file) { 1 } else { points })
}

/// A point that depends on no result.
fn first_point(file: &SweepFile, trial: usize) -> Point {
    match file.sweep().map(crate::config::Sweep::method) {
        Some(SearchMethod::Random | SearchMethod::Tpe) => {
            search::point(file.dimensions(), &search::random(file.dimensions(), file.seed(), trial))
        }
        Some(SearchMethod::Grid) | None => file.grid_point(trial),
    }
}

fn fits(file: &SweepFile, experiment: &Experiment, point: &Point) -> Result<(), ConfigError> {
    let Err(error) = shapes(experiment.model(), experiment.data().image_size()) else { return Ok(()) };
    let message = error.to_string().trim_end_matches('.').to_owned();
    Err(file.problem("data.image_size", message, Some(error.help()), point))
}

fn check_backends(files: &[Arc<SweepFile>], runs: &[Wanted], place: Place) -> Result<(), PlanError> {
    let mut checked = Vec::new();
    for run in runs {
        let wanted = (run.experiment.backend(), run.experiment.device());
        if !checked.contains(&wanted) {
            let file = || files[run.study].path().to_owned();
            backend::check(wanted.0, wanted.1, place).map_err(|error| PlanError::Backend { file: file(), error })?;
            checked.push(wanted);
        }
    }
    Ok(())
}

/// The same mistake at many points is one mistake: the first of each place is kept.
fn distinct(errors: Vec<ConfigError>) -> Vec<ConfigError> {
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for error in errors {
        let places: Vec<_> =
            error.problems().iter().map(|problem| (problem.key.clone(), problem.place.clone())).collect();
        if !seen.contains(&places) {
            seen.push(places);
            kept.push(error);
        }
    }
    kept
}

/// Runs that mean the same are done once; every point knows its runs.
fn once(files: Vec<Arc<SweepFile>>, all: Vec<PlannedRun>) -> Plan {
    let mut runs: Vec<PlannedRun> = Vec::with_capacity(all.len());
    let mut first: HashMap<String, usize> = HashMap::with_capacity(all.len());
    let mut points: BTreeMap<(usize, usize), PlannedPoint> = BTreeMap::new();
    for run in all {
        let place = match &run.identity {
            Ok(identity) => *first.entry(identity.run_key.clone()).or_insert(runs.len()),
            Err(_) => runs.len(),
        };
        points.entry((run.study, run.trial)).or_default().add(&run, place);
        if place == runs.len() {
            runs.push(run);
        }
    }
    Plan { files, runs, points }
}

/// The experiment files that paths mean: a file is itself, a folder all `.toml` files in it and below, by name. Names that
/// begin with `_` or `.` are passed over in folders: parts for others to extend.
///
/// # Errors
/// [`PlanError::Path`] or [`PlanError::NoFiles`].
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, PlanError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |error| PlanError::Path { path: path.clone(), error };
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            let before = files.len();
            walk(path, &mut files).map_err(unreadable)?;
            if files.len() == before {
                return Err(PlanError::NoFiles(path.clone()));
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = Vec::new();
    files.retain(|file| {
        let place = fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        let new = !seen.contains(&place);
        seen.push(place);
        new
    });
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}

/// Loads every file, and tells the mistakes of all.
///
/// # Errors
/// [`PlanError::Config`].
pub fn load_all(files: &[PathBuf], overrides: &[String]) -> Result<Vec<SweepFile>, PlanError> {
    let (mut loaded, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match load_sweep(file, overrides) {
            Ok(file) => loaded.push(file),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(PlanError::Config(errors)) }
}
