//! The table at the end of a sweep: its points side by side, repeats and folds taken together.

use std::collections::HashMap;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle, presets};
use serde::Serialize;

use super::summary::{duration, percent};
use super::table::{Format, RULED_HEADER};
use crate::config::Objective;
use crate::evaluate::{corrected_resampled_t, mean_of_repeats};
use crate::schedule::plan::PlannedPoint;
use crate::schedule::{Queue, RunOutcome};
use crate::store::{RunSummary, Store, StoreError};

/// Points that a terminal is shown.
const SHOWN: usize = 40;

/// What the runs of one point reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointSummary {
    /// Name of the experiment.
    pub name: String,
    /// What the sweep varied, in words; empty where a file means one point.
    pub point: String,
    /// Where its images come from; points on different data cannot be compared.
    pub data: String,
    /// Runs that the point stands on.
    pub runs: usize,
    /// How many of them are completed.
    pub completed: usize,
    /// How many a pruner stopped.
    pub pruned: usize,
    /// How many are better than the naive classifier at p < 0.05.
    pub better_than_naive: usize,
    /// Mean of the objective over the completed runs, on the validation set; `None` without one.
    pub objective: Option<f64>,
    /// Mean accuracy on the test set.
    pub accuracy: Option<f64>,
    /// Lower end of a 95 % interval: of the mean over repeats (Student), over folds (Nadeau and Bengio), of a single run (Wilson).
    pub accuracy_low: Option<f64>,
    /// Upper end.
    pub accuracy_high: Option<f64>,
    /// Mean accuracy of the naive classifier.
    pub naive_accuracy: Option<f64>,
    /// The accuracy that contradicting labels of the same pictures allow.
    pub ceiling: Option<f64>,
    /// Most test images of a run that look like one of its training images.
    pub leaked: Option<u64>,
    /// Mean area under the ROC curve on the test set.
    pub auc: Option<f64>,
    /// Mean seconds of a run.
    pub seconds: Option<f64>,
    /// Ids of the runs.
    pub ids: Vec<String>,
}

/// All points of a sweep, best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What `objective` is.
    pub objective: Objective,
    /// Whether every completed point has it; else points are sorted by test accuracy.
    pub by_validation: bool,
    /// The points.
    pub points: Vec<PointSummary>,
}

impl Comparison {
    /// From the jobs of a sweep and what the store has of their runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(queue: &Queue, store: &Store) -> Result<Self, StoreError> {
        let objective = queue.files().iter().find_map(|file| Some(file.sweep()?.objective())).unwrap_or_default();
        let mut points = Vec::with_capacity(queue.points().len());
        for point in queue.points().values() {
            points.push(summary(queue, store, point, objective)?);
        }
        Ok(Self::ranked(points, objective))
    }

    /// All completed runs of a report, those that repeat each other taken together.
    pub fn of_runs(runs: &[RunSummary], objective: Objective) -> Self {
        let mut points: Vec<Vec<RunSummary>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for run in runs.iter().filter(|run| run.status == "completed") {
            // Runs of early versions have no point key; they stand alone.
            let key = if run.point_key.is_empty() { &run.id } else { &run.point_key };
            let place = *places.entry(key).or_insert(points.len());
            if place == points.len() {
                points.push(Vec::new());
            }
            points[place].push(run.clone());
        }
        let point = |repeats: Vec<RunSummary>| {
            let first = &repeats[0];
            let folds = if first.point.contains("fold=") { repeats.len() } else { 0 };
            let label = first.point.split(", ").filter(|part| !part.starts_with("seed=") && !part.starts_with("fold="));
            let data = first.fingerprint.clone().unwrap_or_default();
            let data = format!("data {}", &data[..data.len().min(10)]);
            let title = (first.name.clone(), label.collect::<Vec<_>>().join(", "), data);
            PointSummary::of(title, &repeats, objective, folds)
        };
        Self::ranked(points.into_iter().map(point).collect(), objective)
    }

    /// Best first, by data set.
    fn ranked(mut points: Vec<PointSummary>, objective: Objective) -> Self {
        let done = || points.iter().filter(|point| point.completed > 0);
        let by_validation = done().count() > 0 && done().all(|point| point.objective.is_some());
        let loss = |point: &PointSummary| match (by_validation, point.objective, point.accuracy) {
            (true, Some(value), _) => objective.loss(value),
            (false, _, Some(accuracy)) => -accuracy,
            _ => f64::INFINITY,
        };
        let mut sources: Vec<String> = Vec::new();
        for point in &points {
            if !sources.contains(&point.data) {
                sources.push(point.data.clone());
            }
        }
        let place = |point: &PointSummary| sources.iter().position(|source| *source == point.data);
        points.sort_by(|a, b| place(a).cmp(&place(b)).then(loss(a).total_cmp(&loss(b))));
        Self { objective, by_validation, points }
    }

    /// The table in a format.
    ///
    /// # Errors
    /// Only if a value cannot be written as JSON or CSV, which would be a bug.
    pub fn render(&self, format: Format) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match format {
            Format::Table => self.grid(RULED_HEADER, SHOWN) + &self.note(),
            Format::Markdown => self.grid(presets::ASCII_MARKDOWN, usize::MAX),
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                for point in &self.points {
                    writer.serialize(Row::from(point))?;
                }
                String::from_utf8(writer.into_inner()?)?
            }
        })
    }

    /// A table for each data set: results on different images do not stand side by side.
    fn grid(&self, style: TableStyle, most: usize) -> String {
        let mut text = String::new();
        for points in self.points.chunk_by(|a, b| a.data == b.data) {
            if points.len() < self.points.len() {
                let space = if text.is_empty() { "" } else { "\n" };
                text += &format!("{space}{}\n\n", points[0].data);
            }
            text += &self.table(&points[..points.len().min(most)], style);
        }
        text
    }

    fn table(&self, points: &[PointSummary], style: TableStyle) -> String {
        let mut table = Table::new();
        let objective = self.objective.to_string();
        let mut header =
            vec!["experiment", "point", "runs", "accuracy", "95 % interval", "naive", "better", "AUC", "time"];
        let ceilings = self.has_ceilings();
        if ceilings {
            header.insert(6, "ceiling");
        }
        if self.by_validation {
            header.insert(3, &objective);
        }
        let columns = header.len();
        table.load_style(style).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
        for point in points {
            table.add_row(self.cells(point));
        }
        for index in 2..columns {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    fn cells(&self, point: &PointSummary) -> Vec<String> {
        let dash = || "-".to_owned();
        let interval = point.accuracy_low.zip(point.accuracy_high);
        let mut cells = vec![
            point.name.clone(),
            if point.point.is_empty() { dash() } else { point.point.clone() },
            runs(point),
            point.accuracy.map_or_else(dash, percent),
            interval.map_or_else(dash, |(low, high)| format!("{:.1} to {}", low * 100.0, percent(high))),
            point.naive_accuracy.map_or_else(dash, percent),
            if point.completed > 0 { format!("{} of {}", point.better_than_naive, point.completed) } else { dash() },
            point.auc.map_or_else(dash, |auc| format!("{auc:.3}")),
            point.seconds.map_or_else(dash, duration),
        ];
        if self.has_ceilings() {
            cells.insert(6, point.ceiling.map_or_else(dash, percent));
        }
        if self.by_validation {
            cells.insert(3, point.objective.map_or_else(dash, |value| format!("{value:.4}")));
        }
        cells
    }

    fn has_ceilings(&self) -> bool {
        self.points.iter().any(|point| point.ceiling.is_some())
    }

    /// What a reader must know to read the table rightly.
    fn note(&self) -> String {
        let mut text = String::new();
        let more: usize =
            self.points.chunk_by(|a, b| a.data == b.data).map(|points| points.len().saturating_sub(SHOWN)).sum();
        if more > 0 {
            text += &format!("and {more} more points; --format csv or json gives all\n");
        }
        let completed = self.points.iter().filter(|point| point.completed > 0).count();
        if completed > 1 {
            text += &if self.by_validation {
                format!("Best first by {} (mean over the runs of a point), not by the test set.\n", self.objective)
            } else {
                "Best first by test accuracy, because not every run has a validation set: the best of several looks better \
                 than it is. Set split.validation to choose on other images.\n"
                    .to_owned()
            };
            text += "Intervals are of the mean over repeats or folds. better: runs that beat the naive answer at p < 0.05.\n";
        }
        if self.has_ceilings() {
            text += "ceiling: the accuracy that contradicting labels of the same pictures allow.\n";
        }
        if let Some(most @ 1..) = self.points.iter().filter_map(|point| point.leaked).max() {
            text += &format!(
                "warning: in some runs up to {most} test images look like a training image, so their figures may be too good. \
                 split.keep_duplicates_together = true prevents it.\n"
            );
        }
        text
    }
}

fn runs(point: &PointSummary) -> String {
    match (point.completed == point.runs, point.pruned) {
        (true, _) => point.runs.to_string(),
        (false, 0) => format!("{} of {}", point.completed, point.runs),
        (false, pruned) => format!("{} of {}, {pruned} pruned", point.completed, point.runs),
    }
}

fn summary(
    queue: &Queue,
    store: &Store,
    point: &PlannedPoint,
    objective: Objective,
) -> Result<PointSummary, StoreError> {
    let mut runs: Vec<RunSummary> = Vec::new();
    let mut pruned = 0;
    for &number in &point.runs {
        let job = queue.job(number);
        pruned += usize::from(matches!(job.outcome, Some(RunOutcome::Pruned { .. })));
        if let (Some(id), Some(RunOutcome::Completed { .. })) = (&job.id, &job.outcome) {
            runs.extend(store.summary(id)?);
        }
    }
    let experiment = point.runs.first().map(|&number| &queue.job(number).run.experiment);
    let data = experiment.map(|experiment| experiment.data().source().to_string()).unwrap_or_default();
    let folds = experiment.map_or(0, |experiment| experiment.split().folds());
    let ids = point.runs.iter().filter_map(|&number| queue.job(number).id.clone()).collect();
    let title = (point.name.clone(), point.point.clone(), data);
    Ok(PointSummary { runs: point.runs.len(), pruned, ids, ..PointSummary::of(title, &runs, objective, folds) })
}

impl PointSummary {
    /// What completed runs that repeat each other say together; with `folds` above 0 they are folds of cross-validation.
    pub fn of(title: (String, String, String), runs: &[RunSummary], objective: Objective, folds: usize) -> Self {
        let mean = |get: &dyn Fn(&RunSummary) -> Option<f64>| {
            let values: Option<Vec<f64>> = runs.iter().map(get).collect();
            values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let better = |run: &&RunSummary| run.p_naive.is_some_and(|p| p < 0.05) && run.accuracy > run.naive_accuracy;
        let accuracies: Vec<f64> = runs.iter().filter_map(|run| run.accuracy).collect();
        let interval = match (&accuracies[..], runs) {
            ([_], [run]) => run.accuracy_interval(),
            _ if folds > 1 => corrected_resampled_t(&accuracies, 1.0 / (folds as f64 - 1.0), 0.95).map(|t| t.interval),
            _ => mean_of_repeats(&accuracies, 0.95).and_then(|mean| mean.interval),
        };
        let (name, point, data) = title;
        Self {
            name,
            point,
            data,
            runs: runs.len(),
            completed: runs.len(),
            pruned: 0,
            better_than_naive: runs.iter().filter(better).count(),
            objective: mean(&|run| match objective {
                Objective::ValLoss => run.validation_loss,
                Objective::ValAccuracy => run.validation_accuracy,
                Objective::ValAuc => run.validation_auc,
            }),
            accuracy: mean(&|run| run.accuracy),
            accuracy_low: interval.map(|interval| interval.low.max(0.0)),
            accuracy_high: interval.map(|interval| interval.high.min(1.0)),
            naive_accuracy: mean(&|run| run.naive_accuracy),
            ceiling: mean(&|run| run.ceiling),
            leaked: runs.iter().filter_map(|run| run.leaked).max(),
            auc: mean(&|run| run.auc),
            seconds: mean(&|run| run.seconds),
            ids: runs.iter().map(|run| run.id.clone()).collect(),
        }
    }
}

/// A point as a spreadsheet has it.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    point: &'a str,
    data: &'a str,
    runs: usize,
    completed: usize,
    pruned: usize,
    better_than_naive: usize,
    objective: Option<f64>,
    accuracy: Option<f64>,
    accuracy_low: Option<f64>,
    accuracy_high: Option<f64>,
    naive_accuracy: Option<f64>,
    ceiling: Option<f64>,
    leaked: Option<u64>,
    auc: Option<f64>,
    seconds: Option<f64>,
    ids: String,
}

impl<'a> From<&'a PointSummary> for Row<'a> {
    fn from(point: &'a PointSummary) -> Self {
        Self {
            name: &point.name,
            point: &point.point,
            data: &point.data,
            runs: point.runs,
            completed: point.completed,
            pruned: point.pruned,
            better_than_naive: point.better_than_naive,
            objective: point.objective,
            accuracy: point.accuracy,
            accuracy_low: point.accuracy_low,
            accuracy_high: point.accuracy_high,
            naive_accuracy: point.naive_accuracy,
            ceiling: point.ceiling,
            leaked: point.leaked,
            auc: point.auc,
            seconds: point.seconds,
            ids: point.ids.join(" "),
        }
    }
}
