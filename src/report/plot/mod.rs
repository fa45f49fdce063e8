//! Plots of runs as SVG: one style, black on white so that they read in print and on a dark page, colours that everybody can tell
//! apart (Okabe and Ito).

mod confusion;
mod curves;
mod mistakes;
mod png;
mod style;
mod sweep;

use serde::Serialize;

pub use mistakes::{Mistake, mistakes_of, surest};
pub use png::{PngError, png};
pub use sweep::of_runs;

use crate::store::{Predictions, RunDetail};

/// Why a plot cannot be drawn; a bug of ours.
pub type PlotError = plotters::drawing::DrawingAreaErrorKind<std::io::Error>;

/// A picture with what it shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plot {
    /// Name of its file, without ending.
    pub name: &'static str,
    /// What one sees, in a sentence.
    pub caption: String,
    /// The picture.
    pub svg: String,
}

/// The plots of one run: its history as soon as it has epochs, the others once it is completed.
///
/// # Errors
/// [`PlotError`].
pub fn of_run(run: &RunDetail, predictions: &Predictions) -> Result<Vec<Plot>, PlotError> {
    let mut plots = Vec::new();
    if !run.epochs.is_empty() {
        plots.extend(curves::history(run)?);
    }
    if let (Some(evaluation), Some(classes)) = (&run.evaluation, &run.classes) {
        plots.push(confusion::confusion(evaluation, classes)?);
        plots.extend(curves::roc(evaluation, classes)?);
        plots.extend(curves::precision_recall(predictions, evaluation, classes)?);
        plots.push(curves::histogram(predictions, evaluation, classes)?);
        plots.push(curves::reliability(predictions, evaluation, classes)?);
    }
    Ok(plots)
}
