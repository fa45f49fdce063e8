//! Tables for people, spreadsheets, documents and scripts, from the same rows.

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle, presets};

use super::summary::{duration, percent};
use crate::evaluate::{Interval, format_p, holm, wilson};
use crate::schedule::queue::title;
use crate::store::RunSummary;

/// How a table is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    #[default]
    Table,
    /// For a document.
    Markdown,
    /// For a script; all columns, full precision.
    Json,
    /// For a spreadsheet; all columns, full precision.
    Csv,
}

/// Adjusts the p-values of completed runs by Holm over all that are listed.
pub fn adjust(runs: &mut [RunSummary]) {
    let adjusted = holm(&runs.iter().filter_map(|run| run.p_naive).collect::<Vec<_>>());
    let with_p = runs.iter_mut().filter(|run| run.p_naive.is_some());
    with_p.zip(adjusted).for_each(|(run, p)| run.p_naive_adjusted = Some(p));
}

/// The report's lines in a format; tables end with the naive classifier and the published run for reference.
///
/// # Errors
/// Only if a value cannot be written as JSON or CSV, which would be a bug.
pub fn runs(runs: &[RunSummary], format: Format) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match format {
        Format::Table => {
            let several = runs.iter().filter(|run| run.p_naive.is_some()).count() > 1;
            let note = if several {
                "p: exact McNemar test against the naive answer, adjusted by Holm over this list.\n"
            } else {
                ""
            };
            grid(runs, RULED_HEADER) + note + &warnings(runs)
        }
        Format::Markdown => grid(runs, presets::ASCII_MARKDOWN),
        Format::Json => serde_json::to_string_pretty(runs)? + "\n",
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for run in runs {
                writer.serialize(run)?;
            }
            String::from_utf8(writer.into_inner()?)?
        }
    })
}

/// What a reader must know of the list's data.
fn warnings(runs: &[RunSummary]) -> String {
    let mut text = String::new();
    if runs.iter().any(|run| run.ceiling.is_some()) {
        text += "ceiling: the accuracy that contradicting labels of the same pictures allow.\n";
    }
    let leaking: Vec<&str> = runs.iter().filter(|run| run.leaked > Some(0)).map(|run| run.id.as_str()).collect();
    if let [first, ..] = leaking[..] {
        text += &format!(
            "warning: the test images of {} of these runs, such as {first}, contain some that look like a training image; \
             `emo-runner show` has their number.\n",
            leaking.len()
        );
    }
    text
}

/// A line under the header and none between rows.
pub(super) const RULED_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

const COLUMNS: [&str; 11] =
    ["run", "name", "status", "accuracy", "95 % interval", "naive", "ceiling", "p", "AUC", "epochs", "time"];

/// Place of the column that is left out where no run has a figure for it.
const CEILING: usize = 6;

/// What the tutorial published, from its confusion matrix: 29 and 151 right of 154 Negative and 171 Positive.
const PUBLISHED: [&str; 11] = [
    "-",
    "the tutorial, as published",
    "reference",
    "55.4 %",
    "49.9 to 60.7 %",
    "52.6 %",
    "-",
    "0.25",
    "0.570",
    "10",
    "6 min 00 s",
];

fn grid(runs: &[RunSummary], style: TableStyle) -> String {
    let ceilings = runs.iter().any(|run| run.ceiling.is_some());
    let shown = |row: [String; 11]| -> Vec<String> {
        row.into_iter().enumerate().filter(|&(column, _)| ceilings || column != CEILING).map(|(_, cell)| cell).collect()
    };
    let mut table = Table::new();
    let header = shown(COLUMNS.map(str::to_owned));
    let columns = header.len();
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for run in runs {
        table.add_row(shown(cells(run)));
    }
    if let Some(naive) = naive(runs) {
        table.add_row(shown(naive));
    }
    table.add_row(shown(PUBLISHED.map(str::to_owned)));
    for index in 3..columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// What always answering the more frequent class is worth on the test sets of the list.
fn naive(runs: &[RunSummary]) -> Option<[String; 11]> {
    let with = || runs.iter().filter_map(|run| Some((run.naive_accuracy?, run.test_images?)));
    let (low, images) = with().reduce(|a, b| if b.0 < a.0 { b } else { a })?;
    let high = with().map(|(accuracy, _)| accuracy).fold(low, f64::max);
    let single = low == high;
    let accuracy = if single { percent(low) } else { format!("{:.1} to {}", low * 100.0, percent(high)) };
    let interval = wilson((low * images as f64).round() as u64, images, 0.95).filter(|_| single);
    let mut row = PUBLISHED.map(|_| "-".to_owned());
    row[1] = "always the more frequent class".to_owned();
    row[2] = "reference".to_owned();
    row[3].clone_from(&accuracy);
    row[4] = interval.map_or_else(|| "-".to_owned(), range);
    row[5] = accuracy;
    row[8] = "0.500".to_owned();
    Some(row)
}

/// `73.1 to 82.1 %`.
fn range(interval: Interval) -> String {
    format!("{:.1} to {}", interval.low * 100.0, percent(interval.high))
}

fn cells(run: &RunSummary) -> [String; 11] {
    let dash = || "-".to_owned();
    [
        run.id.clone(),
        title(&run.name, &run.point),
        run.status.clone(),
        run.accuracy.map_or_else(dash, percent),
        run.accuracy_interval().map_or_else(dash, range),
        run.naive_accuracy.map_or_else(dash, percent),
        run.ceiling.map_or_else(dash, percent),
        run.p_naive_adjusted
            .map_or_else(dash, |p| format_p(p).trim_start_matches("p = ").trim_start_matches("p ").to_owned()),
        run.auc.map_or_else(dash, |auc| format!("{auc:.3}")),
        run.epochs.to_string(),
        run.seconds.map_or_else(dash, duration),
    ]
}
