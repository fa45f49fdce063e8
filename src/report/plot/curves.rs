//! Curves of one run: history, ROC, precision and recall, probabilities, calibration.

use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;

use super::style::{Axes, BLUE, GREEN, GREY, INK, ORANGE, SIZE, chart, font, legend, line, picture};
use super::{Plot, PlotError};
use crate::evaluate::{self, BINS, Evaluation, wilson};
use crate::events::Part;
use crate::report::summary::percent;
use crate::store::{Predictions, RunDetail};

/// Bins of the histogram.
const BARS: usize = 25;

/// Loss and accuracy over the epochs.
pub fn history(run: &RunDetail) -> Result<[Plot; 2], PlotError> {
    let epochs = &run.epochs;
    let last = epochs.len() as f64;
    let part = match epochs.first().map(|epoch| epoch.held_out_part) {
        Some(Part::Validation) => "validation",
        _ => "test",
    };
    let series = |get: &dyn Fn(&crate::events::Epoch) -> f64| -> Vec<(f64, f64)> {
        epochs.iter().map(|epoch| (epoch.epoch as f64, get(epoch))).collect()
    };
    let losses = [series(&|epoch| epoch.train.loss), series(&|epoch| epoch.held_out.loss)];
    let accuracies = [series(&|epoch| epoch.train.accuracy), series(&|epoch| epoch.held_out.accuracy)];
    let x = || (1.0 - 0.02 * last..last.max(2.0) * 1.0001, "epoch");
    let draw = |title: &str, y: (std::ops::Range<f64>, &str), curves: &[Vec<(f64, f64)>; 2], naive: Option<f64>| {
        picture(SIZE, title, |area| {
            let mut chart = chart(area, Axes { title, x: x(), y })?;
            for (curve, color, label) in [(&curves[0], BLUE, "training"), (&curves[1], ORANGE, part)] {
                line(&mut chart, curve.clone(), color.stroke_width(2), label)?;
                chart.draw_series(curve.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
            }
            if let Some(naive) = naive {
                line(
                    &mut chart,
                    vec![(0.0, naive), (last.max(2.0), naive)],
                    GREY.stroke_width(1),
                    "naive, on the test set",
                )?;
            }
            legend(&mut chart, SeriesLabelPosition::UpperRight)
        })
    };
    let largest = losses.iter().flatten().map(|point| point.1).fold(0.0, f64::max);
    let smallest = accuracies.iter().flatten().map(|point| point.1).fold(0.5, f64::min);
    let naive = run.summary.naive_accuracy;
    let loss = draw("Loss", (0.0..(largest * 1.08).max(0.1), "binary cross-entropy"), &losses, None)?;
    let accuracy = draw("Accuracy", ((smallest - 0.05).max(0.0)..1.0, "share called right"), &accuracies, naive)?;
    let caption = |what: &str| {
        format!(
            "{what} after each epoch; the training curve is a mean over the epoch with augmentation and dropout on."
        )
    };
    Ok([
        Plot { name: "history_loss", caption: caption("Loss"), svg: loss },
        Plot { name: "history_accuracy", caption: caption("Accuracy"), svg: accuracy },
    ])
}

/// The ROC curve with a band of its recall. `None` when a class is missing.
pub fn roc(evaluation: &Evaluation, classes: &[String; 2]) -> Result<Option<Plot>, PlotError> {
    let (Some(auc), false) = (evaluation.auc, evaluation.roc.is_empty()) else { return Ok(None) };
    let positives = evaluation.classes[1].support;
    let curve: Vec<(f64, f64)> =
        evaluation.roc.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    // At each threshold the recall is a share of the images of class 1.
    let band = |upper: bool| -> Vec<(f64, f64)> {
        let end = |rate: f64| {
            let interval = wilson((rate * positives as f64).round() as u64, positives, 0.95);
            interval.map_or(rate, |interval| if upper { interval.high } else { interval.low })
        };
        curve.iter().map(|&(x, y)| (x, end(y))).collect()
    };
    let interval = evaluation.auc_interval.map(|auc| format!(" ({:.3} to {:.3})", auc.low, auc.high));
    let title = format!("ROC curve, AUC {auc:.3}{}", interval.clone().unwrap_or_default());
    let svg = picture(SIZE, &title, |area| {
        let mut chart = chart(
            area,
            Axes {
                title: &title,
                x: (0.0..1.0, &format!("share of {} called {}", classes[0], classes[1])),
                y: (0.0..1.0, &format!("share of {} called so (recall)", classes[1])),
            },
        )?;
        let outline: Vec<(f64, f64)> = band(false).into_iter().chain(band(true).into_iter().rev()).collect();
        chart.draw_series([Polygon::new(outline, BLUE.mix(0.15))])?;
        line(&mut chart, vec![(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(1), "chance")?;
        line(&mut chart, curve.clone(), BLUE.stroke_width(2), "this run")?;
        legend(&mut chart, SeriesLabelPosition::LowerRight)
    })?;
    let caption = "ROC curve; the band is Wilson's 95 % interval of the recall at each threshold, the interval of the area DeLong's.";
    Ok(Some(Plot { name: "roc", caption: caption.to_owned(), svg }))
}

/// Precision against recall. `None` without class 1.
pub fn precision_recall(
    predictions: &Predictions,
    evaluation: &Evaluation,
    classes: &[String; 2],
) -> Result<Option<Plot>, PlotError> {
    let curve = evaluate::precision_recall(&predictions.labels, &predictions.probabilities);
    let (Some(average), false) = (evaluation.average_precision, curve.is_empty()) else { return Ok(None) };
    let share = evaluation.classes[1].support as f64 / evaluation.confusion.total() as f64;
    let title = format!("Precision and recall, average precision {average:.3}");
    let svg = picture(SIZE, &title, |area| {
        let mut chart = chart(
            area,
            Axes {
                title: &title,
                x: (0.0..1.0, &format!("recall of {}", classes[1])),
                y: (0.0..1.0, &format!("precision of {}", classes[1])),
            },
        )?;
        line(&mut chart, vec![(0.0, share), (1.0, share)], GREY.stroke_width(1), "chance")?;
        let points = curve.iter().map(|point| (point.recall, point.precision)).collect();
        line(&mut chart, points, BLUE.stroke_width(2), "this run")?;
        legend(&mut chart, SeriesLabelPosition::LowerLeft)
    })?;
    let caption =
        format!("Precision against recall of {} at every threshold; chance is its share of the test set.", classes[1]);
    Ok(Some(Plot { name: "precision_recall", caption, svg }))
}

/// Probabilities of each class, and the thresholds.
pub fn histogram(predictions: &Predictions, evaluation: &Evaluation, classes: &[String; 2]) -> Result<Plot, PlotError> {
    let mut counts = [[0_usize; BARS]; 2];
    for (&label, &probability) in predictions.labels.iter().zip(&predictions.probabilities) {
        counts[usize::from(label)][((probability * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    let title = format!("Probability of {}", classes[1]);
    let svg = picture(SIZE, &title, |area| {
        let axes = Axes { title: &title, x: (0.0..1.0, "probability"), y: (0.0..most * 1.12, "test images") };
        let mut chart = chart(area, axes)?;
        for (class, color) in [(0, ORANGE), (1, BLUE)] {
            let bars = counts[class].iter().enumerate().filter(|&(_, &count)| count > 0).map(|(bar, &count)| {
                let (left, half) = (bar as f64 / BARS as f64, 0.5 / BARS as f64);
                let left = left + if class == 0 { 0.05 } else { 1.0 } * half * 0.95;
                Rectangle::new([(left, 0.0), (left + half * 0.9, count as f64)], color.filled())
            });
            chart
                .draw_series(bars)?
                .label(classes[class].clone())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
        }
        line(&mut chart, vec![(0.5, 0.0), (0.5, most * 1.12)], INK.stroke_width(1), "threshold 0.5")?;
        if let Some(tuned) = &evaluation.tuned {
            let label = format!("tuned threshold {:.3}", tuned.threshold);
            line(
                &mut chart,
                vec![(tuned.threshold, 0.0), (tuned.threshold, most * 1.12)],
                GREEN.stroke_width(2),
                &label,
            )?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    })?;
    let caption = format!("Probability of {} that the run gave to the test images of each class.", classes[1]);
    Ok(Plot { name: "probabilities", caption, svg })
}

/// Whether probabilities mean what they say.
pub fn reliability(
    predictions: &Predictions,
    evaluation: &Evaluation,
    classes: &[String; 2],
) -> Result<Plot, PlotError> {
    let bins = evaluate::reliability(&predictions.labels, &predictions.probabilities, BINS);
    let error = evaluation.calibration_error.unwrap_or_default();
    let title = format!("Reliability, calibration error {error:.3}, Brier score {:.3}", evaluation.brier);
    let svg = picture(SIZE, &title, |area| {
        let mut chart = chart(
            area,
            Axes {
                title: &title,
                x: (0.0..1.0, &format!("mean probability of {}", classes[1])),
                y: (0.0..1.0, &format!("share of {}", classes[1])),
            },
        )?;
        line(&mut chart, vec![(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(1), "well calibrated")?;
        let filled: Vec<_> = bins.iter().filter(|bin| bin.images > 0).collect();
        for bin in &filled {
            let right = (bin.frequency * bin.images as f64).round() as u64;
            if let Some(interval) = wilson(right, bin.images as u64, 0.95) {
                let bar = [(bin.probability, interval.low), (bin.probability, interval.high)];
                chart.draw_series([PathElement::new(bar, BLUE.mix(0.5).stroke_width(1))])?;
            }
        }
        let points: Vec<(f64, f64)> = filled.iter().map(|bin| (bin.probability, bin.frequency)).collect();
        line(&mut chart, points.clone(), BLUE.stroke_width(2), "this run")?;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, BLUE.filled())))?;
        chart.draw_series(filled.iter().map(|bin| {
            Text::new(
                bin.images.to_string(),
                ((bin.probability + 0.01).min(0.96), (bin.frequency - 0.02).max(0.03)),
                font(11),
            )
        }))?;
        legend(&mut chart, SeriesLabelPosition::LowerRight)
    })?;
    let caption = format!(
        "Share of {} among images of like probability, in {BINS} bins with Wilson's 95 % intervals and their numbers of images; accuracy {}.",
        classes[1],
        percent(evaluation.accuracy)
    );
    Ok(Plot { name: "reliability", caption, svg })
}
