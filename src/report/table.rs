//! Tables for people, spreadsheets, documents and scripts, from the same rows.

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle, presets};

use super::summary::{duration, percent};
use crate::evaluate::{format_p, holm};
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

/// The report's lines in a format; tables end with the published run for reference.
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
            grid(runs, RULED_HEADER) + note
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

/// A line under the header and none between rows.
pub(super) const RULED_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

const COLUMNS: [&str; 10] =
    ["run", "name", "status", "accuracy", "95 % interval", "naive", "p", "AUC", "epochs", "time"];

/// What the tutorial published, from its confusion matrix: 29 and 151 right of 154 Negative and 171 Positive.
const PUBLISHED: [&str; 10] = [
    "-",
    "the tutorial, as published",
    "reference",
    "55.4 %",
    "49.9 to 60.7 %",
    "52.6 %",
    "0.25",
    "0.570",
    "10",
    "6 min 00 s",
];

fn grid(runs: &[RunSummary], style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled).set_header(COLUMNS);
    for run in runs {
        table.add_row(cells(run));
    }
    table.add_row(PUBLISHED);
    for index in 3..COLUMNS.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn cells(run: &RunSummary) -> [String; 10] {
    let dash = || "-".to_owned();
    [
        run.id.clone(),
        title(&run.name, &run.point),
        run.status.clone(),
        run.accuracy.map_or_else(dash, percent),
        run.accuracy_interval()
            .map_or_else(dash, |interval| format!("{:.1} to {}", interval.low * 100.0, percent(interval.high))),
        run.naive_accuracy.map_or_else(dash, percent),
        run.p_naive_adjusted
            .map_or_else(dash, |p| format_p(p).trim_start_matches("p = ").trim_start_matches("p ").to_owned()),
        run.auc.map_or_else(dash, |auc| format!("{auc:.3}")),
        run.epochs.to_string(),
        run.seconds.map_or_else(dash, duration),
    ]
}
