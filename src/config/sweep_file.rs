//! An experiment file that may mean many runs, and the experiment of each of them.

use std::path::{Path, PathBuf};

use super::axes::{Dimension, Point, Words, dimensions, place};
use super::document::Document;
use super::error::{ConfigError, Problem};
use super::experiment::Experiment;
use super::kinds::SearchMethod;
use super::load::{Gathered, resolve, schema, sorted};
use super::sweep::Sweep;

/// A checked file. Its points are checked one by one, by [`SweepFile::experiment`].
#[derive(Debug, Clone)]
pub struct SweepFile {
    /// Everything but `[sweep]`.
    table: toml::Table,
    document: Document,
    path: PathBuf,
    sweep: Option<Sweep>,
    dimensions: Vec<Dimension>,
}

impl SweepFile {
    pub(super) fn new(gathered: Gathered) -> Result<Self, ConfigError> {
        let Gathered { mut table, document, path } = gathered;
        let sweep: Option<Sweep> = table
            .remove("sweep")
            .map(toml::Value::try_into)
            .transpose()
            .map_err(|error: toml::de::Error| document.problem("sweep", error.message().to_owned(), None))?;
        let dimensions = match &sweep {
            Some(sweep) => dimensions(sweep, schema(), &document).map_err(sorted)?,
            None => Vec::new(),
        };
        let file = Self { table, document, path, sweep, dimensions };
        file.no_override_of_an_axis()?;
        Ok(file)
    }

    fn no_override_of_an_axis(&self) -> Result<(), ConfigError> {
        match self.keys().find(|key| self.document.is_override(key)) {
            None => Ok(()),
            Some(key) => {
                let help = format!("leave it out, or set the axis: --set 'sweep.axes.{key}=[...]'");
                Err(self.document.problem(&key, format!("\"{key}\" is an axis of {}", self.path.display()), Some(help)))
            }
        }
    }

    fn keys(&self) -> impl Iterator<Item = String> {
        self.dimensions.iter().flat_map(|dimension| match dimension {
            Dimension::Choice { keys, .. } => keys.clone(),
            Dimension::Range { key, .. } => vec![key.clone()],
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its `[sweep]`, if it has one.
    pub fn sweep(&self) -> Option<&Sweep> {
        self.sweep.as_ref()
    }

    /// What the sweep varies, in the order of the file.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The seed that points are drawn by: that of the file.
    pub fn seed(&self) -> u64 {
        let seed = self.table.get("seed").and_then(toml::Value::as_integer);
        seed.map_or_else(super::experiment::seed, i64::unsigned_abs)
    }

    /// How often each point is run with another seed.
    pub fn repeats(&self) -> usize {
        self.sweep.as_ref().map_or(1, Sweep::repeats)
    }

    /// The folds that each point is run for: 0 alone without cross-validation.
    pub fn folds(&self) -> Vec<usize> {
        let number = |key: &str| {
            let value = self.table.get("split").and_then(|split| split.get(key)).and_then(toml::Value::as_integer);
            value.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
        };
        match (number("folds"), number("fold")) {
            (0, _) => vec![0],
            (folds, 0) => (1..=folds).collect(),
            (_, fold) => vec![fold],
        }
    }

    /// Number of points of a grid, random search or tpe; `None` if a grid has more than a `usize` counts.
    pub fn points(&self) -> Option<usize> {
        match &self.sweep {
            Some(sweep) if sweep.method != SearchMethod::Grid => Some(sweep.trials),
            _ => self
                .dimensions
                .iter()
                .try_fold(1_usize, |product, dimension| product.checked_mul(dimension.choices().unwrap_or(1))),
        }
    }

    /// Point number `index` of a grid; the last axis moves fastest.
    pub fn grid_point(&self, index: usize) -> Point {
        let mut left = index;
        let mut parts: Vec<Point> = Vec::with_capacity(self.dimensions.len());
        for dimension in self.dimensions.iter().rev() {
            let choices = dimension.choices().unwrap_or(1);
            parts.push(dimension.at((left % choices) as f64));
            left /= choices;
        }
        parts.into_iter().rev().flatten().collect()
    }

    /// The experiment of a point, with `repeat` added to its seed, for a fold (0 without cross-validation).
    ///
    /// # Errors
    /// [`ConfigError`] when the point's values do not fit together.
    pub fn experiment(
        &self,
        point: &[(String, toml::Value)],
        repeat: usize,
        fold: usize,
    ) -> Result<Experiment, ConfigError> {
        let mut table = self.table.clone();
        for (key, value) in point {
            insert(&mut table, key, value.clone());
        }
        let problems = |problems: Vec<Problem>| {
            ConfigError::new(problems.into_iter().map(|problem| self.at_point(problem, point)).collect())
        };
        let mut experiment = resolve(table, &self.path, &self.document).map_err(problems)?;
        if let Some(sweep) = &self.sweep
            && experiment.split.validation == 0.0
            && (sweep.method == SearchMethod::Tpe || sweep.pruner.is_some())
        {
            let key = if sweep.pruner.is_some() { "sweep.pruner" } else { "sweep.method" };
            let help = "set split.validation, for example to 0.2; the test set is never used for choosing".to_owned();
            let message = format!("going by {} needs a validation set", sweep.objective);
            return Err(self.document.problem(key, message, Some(help)));
        }
        experiment.seed = experiment.seed.saturating_add(repeat as u64);
        experiment.split.fold = fold;
        Ok(experiment)
    }

    /// A problem with a value of a point, found later: a network that does not fit its images, say.
    pub fn problem(
        &self,
        key: &str,
        message: String,
        help: Option<String>,
        point: &[(String, toml::Value)],
    ) -> ConfigError {
        let place = self.document.value_place(key);
        let problem = Problem { key: key.to_owned(), message, label: String::new(), help, place };
        ConfigError::new(vec![self.at_point(problem, point)])
    }

    /// Shows a problem at the axis that it comes from, and names the point.
    fn at_point(&self, mut problem: Problem, point: &[(String, toml::Value)]) -> Problem {
        if point.is_empty() {
            return problem;
        }
        if point.iter().any(|(key, _)| *key == problem.key) {
            problem.place = self.document.value_place(&place(&problem.key));
        }
        problem.message = format!("{} (at the point {})", problem.message, Words(point));
        problem
    }
}

/// Puts a value under a dotted key, making sections as needed.
fn insert(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}
