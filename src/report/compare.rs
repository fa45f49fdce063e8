//! Runs against each other on the same test images: words first, then figures, then the images they disagree on.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::summary::percent;
use super::table::{Format, RULED_HEADER};
use crate::evaluate::{PairedComparison, format_p, holm};
use crate::store::Predictions;

/// Images of a pair that are shown.
const SHOWN: usize = 5;

/// Why runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// A run without a result.
    #[error(
        "Run {0} is not completed, so it has no predictions to compare. The same command that began it goes on with it."
    )]
    Unfinished(String),
    /// Not the same images.
    #[error(
        "Runs {first} and {second} were tested on different images ({common} in common of {images} and {others}), so their \
         results are not paired. Use the same data and the same split: with split.seed in both files, other seeds are \
         tested on the same images."
    )]
    DifferentImages {
        /// One run.
        first: String,
        /// The other.
        second: String,
        /// Images of both.
        common: usize,
        /// Test images of the first.
        images: usize,
        /// Test images of the second.
        others: usize,
    },
}

/// Two of the compared runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Title of the first.
    pub first: String,
    /// Title of the second.
    pub second: String,
    /// What the images say.
    pub comparison: PairedComparison,
    /// McNemar p adjusted by Holm over all pairs.
    pub p_adjusted: f64,
    /// DeLong p adjusted likewise.
    pub auc_p_adjusted: Option<f64>,
    /// Images on which they disagree most: name, label, probability of the first and of the second.
    pub disagreements: Vec<(String, usize, f64, f64)>,
}

/// Compares every two of the runs.
///
/// # Errors
/// [`Incomparable`], with the reason.
pub fn pairs(runs: &[(String, Predictions)]) -> Result<Vec<Pair>, Incomparable> {
    let mut pairs = Vec::new();
    for (index, (first, a)) in runs.iter().enumerate() {
        if a.images.is_empty() {
            return Err(Incomparable::Unfinished(first.clone()));
        }
        for (second, b) in &runs[index + 1..] {
            pairs.push(pair(first, a, second, b)?);
        }
    }
    let adjusted = holm(&pairs.iter().map(|pair| pair.comparison.p).collect::<Vec<_>>());
    let areas: Vec<f64> = pairs.iter().filter_map(|pair| Some(pair.comparison.auc_difference?.p)).collect();
    let mut areas = holm(&areas).into_iter();
    for (pair, p) in pairs.iter_mut().zip(adjusted) {
        pair.p_adjusted = p;
        pair.auc_p_adjusted = pair.comparison.auc_difference.and_then(|_| areas.next());
    }
    Ok(pairs)
}

fn pair(first: &str, a: &Predictions, second: &str, b: &Predictions) -> Result<Pair, Incomparable> {
    let different = || {
        let theirs: std::collections::HashSet<i64> = b.images.iter().copied().collect();
        Incomparable::DifferentImages {
            first: first.to_owned(),
            second: second.to_owned(),
            common: a.images.iter().filter(|image| theirs.contains(image)).count(),
            images: a.images.len(),
            others: b.images.len(),
        }
    };
    if b.images.is_empty() {
        return Err(Incomparable::Unfinished(second.to_owned()));
    }
    if a.images != b.images {
        return Err(different());
    }
    let comparison = PairedComparison::of(&a.labels, &a.probabilities, &b.probabilities).ok_or_else(different)?;
    let mut order: Vec<usize> = (0..a.images.len()).collect();
    let apart = |&image: &usize| (a.probabilities[image] - b.probabilities[image]).abs();
    order.sort_by(|x, y| apart(y).total_cmp(&apart(x)));
    let shown = order.into_iter().take(SHOWN).map(|image| {
        (a.names[image].clone(), usize::from(a.labels[image]), a.probabilities[image], b.probabilities[image])
    });
    let (first, second) = (first.to_owned(), second.to_owned());
    Ok(Pair { first, second, comparison, p_adjusted: 1.0, auc_p_adjusted: None, disagreements: shown.collect() })
}

/// What an accuracy on these images is to be held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Accuracy of always answering the more frequent class.
    pub naive: f64,
    /// The accuracy that contradicting labels of the same pictures allow.
    pub ceiling: Option<f64>,
}

impl Scale {
    /// In words.
    pub fn text(self) -> String {
        let ceiling = self.ceiling.map(|ceiling| format!("; contradicting labels allow {}", percent(ceiling)));
        let naive = percent(self.naive);
        format!(
            "Always answering the more frequent class is right on {naive} of these images{}.\n",
            ceiling.unwrap_or_default()
        )
    }
}

/// The comparison in a format.
///
/// # Errors
/// Only if a value cannot be written as JSON or CSV, which would be a bug.
pub fn render(
    pairs: &[Pair],
    scale: Option<Scale>,
    format: Format,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match format {
        Format::Json => serde_json::to_string_pretty(pairs)? + "\n",
        Format::Csv => csv(pairs)?,
        Format::Markdown => grid(pairs, presets::ASCII_MARKDOWN),
        Format::Table => {
            let mut text = String::new();
            for pair in pairs {
                let _ = writeln!(text, "{}", sentence(pair, pairs.len()));
            }
            text += &scale.map(Scale::text).unwrap_or_default();
            text.push('\n');
            text += &grid(pairs, RULED_HEADER);
            if let [pair] = pairs {
                text += &disagreements(pair);
            } else {
                text += "\np: exact McNemar and DeLong, adjusted by Holm over the pairs.\n";
            }
            text
        }
    })
}

/// `B is better than A by 4.3 points, 95 % interval 0.9 to 7.7, p = 0.013`.
pub fn sentence(pair: &Pair, pairs: usize) -> String {
    let c = &pair.comparison;
    let (better, worse, sign) =
        if c.difference >= 0.0 { (&pair.second, &pair.first, 1.0) } else { (&pair.first, &pair.second, -1.0) };
    let [one, other] = [c.interval.low * sign * 100.0, c.interval.high * sign * 100.0];
    let figures = format!(
        "{:.1} points, 95 % interval {:.1} to {:.1}, {}{}",
        c.difference.abs() * 100.0,
        one.min(other),
        one.max(other),
        format_p(pair.p_adjusted),
        if pairs > 1 { format!(" (Holm over {pairs} pairs)") } else { String::new() }
    );
    if pair.p_adjusted < 0.05 {
        format!("{better} is better than {worse} by {figures}.")
    } else {
        let images = c.images;
        format!(
            "{} and {} cannot be told apart on these {images} images: {figures} in favour of {better}.",
            pair.first, pair.second
        )
    }
}

const COLUMNS: [&str; 10] =
    ["first", "second", "accuracy", "", "difference", "95 % interval", "p", "AUC", "", "p (AUC)"];

fn grid(pairs: &[Pair], style: comfy_table::TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled).set_header(COLUMNS);
    let short = |p: f64| format_p(p).trim_start_matches("p = ").trim_start_matches("p ").to_owned();
    let dash = || "-".to_owned();
    for pair in pairs {
        let c = &pair.comparison;
        table.add_row([
            pair.first.clone(),
            pair.second.clone(),
            percent(c.accuracy[0]),
            percent(c.accuracy[1]),
            format!("{:+.1}", c.difference * 100.0),
            format!("{:+.1} to {:+.1}", c.interval.low * 100.0, c.interval.high * 100.0),
            short(pair.p_adjusted),
            c.auc.map_or_else(dash, |auc| format!("{:.3}", auc[0])),
            c.auc.map_or_else(dash, |auc| format!("{:.3}", auc[1])),
            pair.auc_p_adjusted.map_or_else(dash, short),
        ]);
    }
    for index in 2..COLUMNS.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn disagreements(pair: &Pair) -> String {
    let [a, b] = pair.comparison.only_right;
    let mut text =
        format!("\nOnly {} is right on {a} images, only {} on {b}. They disagree most on\n", pair.first, pair.second);
    let width = pair.disagreements.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    for (name, label, first, second) in &pair.disagreements {
        let _ = writeln!(text, "  {name:width$}  class {label}  {first:.3}  {second:.3}");
    }
    text
}

fn csv(pairs: &[Pair]) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "first",
        "second",
        "images",
        "accuracy_first",
        "accuracy_second",
        "difference",
        "low",
        "high",
        "p",
        "p_adjusted",
        "auc_first",
        "auc_second",
        "auc_difference",
        "auc_low",
        "auc_high",
        "auc_p",
        "auc_p_adjusted",
    ])?;
    for pair in pairs {
        let c = &pair.comparison;
        let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        writer.write_record([
            pair.first.clone(),
            pair.second.clone(),
            c.images.to_string(),
            c.accuracy[0].to_string(),
            c.accuracy[1].to_string(),
            c.difference.to_string(),
            c.interval.low.to_string(),
            c.interval.high.to_string(),
            c.p.to_string(),
            pair.p_adjusted.to_string(),
            optional(c.auc.map(|auc| auc[0])),
            optional(c.auc.map(|auc| auc[1])),
            optional(c.auc_difference.map(|d| d.difference)),
            optional(c.auc_difference.map(|d| d.interval.low)),
            optional(c.auc_difference.map(|d| d.interval.high)),
            optional(c.auc_difference.map(|d| d.p)),
            optional(pair.auc_p_adjusted),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
