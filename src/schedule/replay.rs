//! A run done again, and the first thing that differs.

use serde::Serialize;

use crate::events::{Completed, DataSummary, Epoch, Event, Line};

/// What two runs of one experiment say about each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Every bit that was compared is equal.
    BitIdentical {
        /// Epochs compared.
        epochs: usize,
        /// Test images compared.
        predictions: usize,
    },
    /// The first difference, in the order in which a run comes about.
    Differs {
        /// Where: `data`, `epoch 3`, `test set`.
        place: String,
        /// Which quantity.
        quantity: String,
        /// Its value in the run that was repeated.
        before: String,
        /// Its value in the repetition.
        after: String,
    },
}

/// What a run did, as far as it must be equal in a repetition.
struct Trace<'a> {
    data: Option<&'a DataSummary>,
    epochs: Vec<Epoch>,
    completed: Option<&'a Completed>,
    diverged: Option<String>,
}

impl<'a> Trace<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut trace = Self { data: None, epochs: Vec::new(), completed: None, diverged: None };
        for line in lines {
            match &line.event {
                Event::Data(data) => trace.data = Some(data),
                // A resumed run tells of an epoch twice; both are the same.
                Event::Epoch(epoch) if trace.epochs.len() < epoch.epoch => trace.epochs.push(epoch.timeless()),
                Event::Completed(completed) => trace.completed = Some(completed),
                Event::Diverged { epoch, step, loss } => {
                    trace.diverged = Some(format!("epoch {epoch}, step {step}, loss {loss}"));
                }
                _ => {}
            }
        }
        trace
    }
}

/// Compares the events of a run with those of its repetition.
pub fn compare(before: &[Line], after: &[Line]) -> Comparison {
    let (before, after) = (Trace::of(before), Trace::of(after));
    first_difference(&before, &after).unwrap_or(Comparison::BitIdentical {
        epochs: before.epochs.len(),
        predictions: before.completed.map_or(0, |completed| completed.predictions.len()),
    })
}

fn first_difference(before: &Trace<'_>, after: &Trace<'_>) -> Option<Comparison> {
    let data = |trace: &Trace<'_>, get: fn(&DataSummary) -> &String| trace.data.map(get).cloned().unwrap_or_default();
    differ("data", "fingerprint", data(before, |d| &d.fingerprint), data(after, |d| &d.fingerprint))
        .or_else(|| differ("data", "split", data(before, |d| &d.split_hash), data(after, |d| &d.split_hash)))
        .or_else(|| before.epochs.iter().zip(&after.epochs).find_map(|(before, after)| epoch_difference(before, after)))
        .or_else(|| differ("training", "epochs", before.epochs.len(), after.epochs.len()))
        .or_else(|| differ("training", "divergence", show(&before.diverged), show(&after.diverged)))
        .or_else(|| prediction_difference(before.completed?, after.completed?))
        .or_else(|| differ("test set", "evaluated", before.completed.is_some(), after.completed.is_some()))
}

/// A figure of an epoch that a replay must repeat, and its name.
type Quantity = (&'static str, fn(&Epoch) -> f64);

fn epoch_difference(before: &Epoch, after: &Epoch) -> Option<Comparison> {
    let place = format!("epoch {}", before.epoch);
    let quantities: [Quantity; 5] = [
        ("learning rate", |epoch| epoch.learning_rate),
        ("training loss", |epoch| epoch.train.loss),
        ("training accuracy", |epoch| epoch.train.accuracy),
        ("held-out loss", |epoch| epoch.held_out.loss),
        ("held-out accuracy", |epoch| epoch.held_out.accuracy),
    ];
    let weights = differ(&place, "weights hash", before.weights_hash.clone(), after.weights_hash.clone());
    let metric = || {
        quantities.iter().find_map(|(name, get)| {
            let (before, after) = (get(before), get(after));
            (before.to_bits() != after.to_bits()).then(|| differ(&place, name, before, after)).flatten()
        })
    };
    // The loss of an epoch is made before its last weights are.
    metric().filter(|difference| is_quantity(difference, "training loss")).or(weights).or_else(metric)
}

fn is_quantity(difference: &Comparison, name: &str) -> bool {
    matches!(difference, Comparison::Differs { quantity, .. } if quantity == name)
}

fn prediction_difference(before: &Completed, after: &Completed) -> Option<Comparison> {
    before.predictions.iter().zip(&after.predictions).find_map(|(before, after)| {
        let quantity = format!("probability of {}", before.name);
        (before.probability.to_bits() != after.probability.to_bits())
            .then(|| differ("test set", &quantity, before.probability, after.probability))
            .flatten()
    })
}

fn show(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "none".to_owned())
}

fn differ<T: PartialEq + ToString>(place: &str, quantity: &str, before: T, after: T) -> Option<Comparison> {
    (before != after).then(|| Comparison::Differs {
        place: place.to_owned(),
        quantity: quantity.to_owned(),
        before: before.to_string(),
        after: after.to_string(),
    })
}
