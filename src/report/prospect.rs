//! What a study can show, before anything is computed.

use std::fmt::Write as _;

use serde::Serialize;

use super::summary::percent;
use crate::config::Experiment;
use crate::data::source::OpenSource;
use crate::data::split::{Shares, split};
use crate::evaluate::{
    BestOfChance, best_of_chance, detectable_difference, mean_of_repeats, smallest_significant, wilson,
};

/// Share of the test images on which two classifiers are taken to disagree; runs of one network with other settings often do.
const DISAGREEMENT: f64 = 0.2;
/// Level of the tests.
const ALPHA: f64 = 0.05;
/// How often a true difference should be found.
const POWER: f64 = 0.8;
/// Repeats and folds that are offered instead.
const MORE: usize = 5;

/// What the test set of one experiment file can show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prospect {
    /// Name of the experiment.
    pub name: String,
    /// Its runs.
    pub runs: usize,
    /// Its points: what a sweep varies, not counting repeats and folds.
    pub points: usize,
    /// Folds of cross-validation; 0 without.
    pub folds: usize,
    /// Where the images come from.
    pub source: String,
    /// Names of class 0 and 1.
    pub classes: [String; 2],
    /// Images of class 0 and 1.
    pub images: [usize; 2],
    /// Images of class 0 and 1 that a point is tested on, all folds together.
    pub test: [usize; 2],
    /// Validation images of a run.
    pub validation: usize,
    /// What always answering the more frequent class is right on.
    pub naive_right: usize,
    /// Half the width of the 95 % interval of an accuracy at the naive one.
    pub half_width: f64,
    /// The fewest images that a run must have right to beat the naive answer at p < 0.05, if both disagree on 20 % of the images.
    pub right_to_beat_naive: Option<u64>,
    /// The smallest difference of two runs with p < 0.05, if they disagree on 20 % of the images.
    pub smallest_difference: Option<f64>,
    /// The true difference that such a test finds 4 times in 5.
    pub found_difference: Option<f64>,
    /// The same two with folds, so that every image is tested once.
    pub with_folds: Option<[f64; 2]>,
    /// Half the width of the 95 % interval of the mean of five repeats, by the spread that the size of the test set alone makes.
    pub half_width_of_repeats: Option<f64>,
    /// The best of as many chance classifiers as there are points, where nothing but the test set can choose among them.
    pub best_of_chance: Option<BestOfChance>,
}

impl Prospect {
    /// For a file of so many runs and points, of which `experiment` is one.
    ///
    /// # Errors
    /// In words, when the data cannot be read or split.
    pub fn new(experiment: &Experiment, runs: usize, points: usize) -> Result<Self, String> {
        let data = experiment.data();
        let source = OpenSource::open(data.source(), data.classes()).map_err(|error| error.to_string())?;
        let labels: Vec<usize> = source.items().iter().map(|item| item.class).collect();
        let settings = experiment.split();
        let fold = (settings.folds() > 0).then_some((settings.fold().max(1), settings.folds()));
        let shares = Shares { test: settings.test(), validation: settings.validation(), fold };
        let parts = split(&labels, None, experiment.split_seed(), shares).map_err(|error| error.to_string())?;
        let count = |indices: &mut dyn Iterator<Item = usize>| {
            indices.fold([0, 0], |mut counts: [usize; 2], index| {
                counts[labels[index].min(1)] += 1;
                counts
            })
        };
        let images = count(&mut (0..labels.len()));
        let test = if settings.folds() > 0 { images } else { count(&mut parts.test.iter().copied()) };
        let train = count(&mut parts.train.iter().copied());
        let naive_class = usize::from(train[1] >= train[0]);
        let (all, tested, naive_right) = (labels.len() as u64, (test[0] + test[1]) as u64, test[naive_class]);
        let smallest = smallest(tested);
        let with_folds = (settings.folds() == 0).then(|| differences(all)).flatten();
        let interval = wilson(naive_right as u64, tested, 0.95);
        let chosen_by_test = points > 1 && settings.validation() == 0.0;
        let naive = naive_right as f64 / tested as f64;
        Ok(Self {
            name: experiment.name().to_owned(),
            runs,
            points,
            folds: settings.folds(),
            source: source.description().to_owned(),
            classes: data.classes().clone(),
            images,
            test,
            validation: parts.validation.len(),
            naive_right,
            half_width: interval.map_or(0.5, |interval| (interval.high - interval.low) / 2.0),
            right_to_beat_naive: smallest.map(|images| naive_right as u64 + images).filter(|&right| right <= tested),
            smallest_difference: smallest.map(|images| images as f64 / tested as f64),
            found_difference: detectable_difference(tested, DISAGREEMENT, ALPHA, POWER),
            with_folds,
            half_width_of_repeats: half_width_of_repeats(tested, naive),
            best_of_chance: if chosen_by_test { best_of_chance(points, tested, naive) } else { None },
        })
    }

    /// In words.
    pub fn text(&self) -> String {
        let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let mut text = format!("{}  ({}, {})\n", self.name, plural(self.points, "point"), plural(self.runs, "run"));
        let [zero, one] = &self.classes;
        let tested = self.test[0] + self.test[1];
        let all = self.images[0] + self.images[1];
        let naive = self.naive_right as f64 / tested as f64;
        let naive_class = if self.naive_right == self.test[1] { one } else { zero };
        let disagree = percent_of(DISAGREEMENT);
        let _ = writeln!(
            text,
            "  Data      {}: {all} images, {} {zero} and {} {one}",
            self.source, self.images[0], self.images[1]
        );
        let tests = match self.folds {
            0 => "Test set ".to_owned(),
            folds => format!("{folds} folds  "),
        };
        let _ = writeln!(
            text,
            "  {tests} {tested} images, {} {zero} and {} {one}; always answering \"{naive_class}\" is right on {}, {}",
            self.test[0],
            self.test[1],
            self.naive_right,
            percent(naive)
        );
        match self.right_to_beat_naive {
            Some(right) => {
                let _ = writeln!(
                    text,
                    "  To beat   it at p < 0.05, {right} right, {}, if the two disagree on {disagree} of the images",
                    percent(right as f64 / tested as f64)
                );
            }
            None => text += "  To beat   it at p < 0.05 there are too few images\n",
        }
        if let Some(smallest) = self.smallest_difference {
            let _ = write!(text, "  Two runs  that disagree on {disagree} of them need {} points", points(smallest));
            text += &self.found_difference.map_or_else(
                || "; the test set is too small to find true differences reliably\n".to_owned(),
                |found| format!("; a true difference of {} is found 4 times in 5\n", points(found)),
            );
        }
        self.alternatives(&mut text, all);
        if let Some(chance) = self.best_of_chance {
            let _ = writeln!(
                text,
                "  Choosing  the best of {} points on the test set: of as many that are right by chance it reaches {} on average,\n            \
                 {} in 1 of 20 cases; split.validation = 0.2 chooses on other images",
                self.points,
                percent(chance.mean),
                percent(chance.high)
            );
        }
        text
    }

    fn alternatives(&self, text: &mut String, all: usize) {
        if let Some([smallest, found]) = self.with_folds {
            let _ = writeln!(
                text,
                "  Instead   split.folds = {MORE} tests all {all} images: {} and {} points, {MORE} times the work",
                points(smallest),
                points(found)
            );
        }
        if let Some(half) = self.half_width_of_repeats.filter(|_| self.folds == 0) {
            let _ = writeln!(
                text,
                "            sweep.repeats = {MORE} knows the mean over seeds to about ±{} points, one run is known to ±{}",
                points(half),
                points(self.half_width)
            );
        }
    }
}

fn smallest(images: u64) -> Option<u64> {
    smallest_significant((images as f64 * DISAGREEMENT).round() as u64, ALPHA)
}

fn differences(images: u64) -> Option<[f64; 2]> {
    let smallest = smallest(images)? as f64 / images as f64;
    Some([smallest, detectable_difference(images, DISAGREEMENT, ALPHA, POWER)?])
}

/// Student's half-width for values whose standard deviation is that of a share of `images`.
fn half_width_of_repeats(images: u64, rate: f64) -> Option<f64> {
    let deviation = (rate * (1.0 - rate) / images as f64).sqrt();
    // Five values with just that deviation.
    let scale = deviation / 2.5_f64.sqrt();
    let values: Vec<f64> = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|value| value * scale).to_vec();
    let interval = mean_of_repeats(&values, 0.95)?.interval?;
    Some((interval.high - interval.low) / 2.0)
}

/// `5.2`.
fn points(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// `20 %`.
fn percent_of(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
