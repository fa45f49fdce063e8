//! TensorBoard's event files: TFRecords of protocol buffers (tensorflow/core/util/event.proto and framework/summary.proto).

use std::path::{Path, PathBuf};

use prost::Message;

use super::{ExportError, Exported, write};

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// A folder for each run with an event file in it: loss, accuracy, AUC and learning rate by epoch, the test set's metrics at
/// the last one.
///
/// # Errors
/// [`ExportError::File`].
pub fn tensorboard(runs: &[Exported], folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    runs.iter().map(|run| one(run, folder)).collect()
}

fn one(run: &Exported, folder: &Path) -> Result<PathBuf, ExportError> {
    let summary = &run.detail.summary;
    let start = summary.started_at.parse::<jiff::Timestamp>().map_or(0.0, |time| time.as_millisecond() as f64 / 1000.0);
    let mut bytes = Vec::new();
    let version = Event { wall_time: start, file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
    record(&mut bytes, &version);
    let mut time = start;
    for epoch in &run.detail.epochs {
        time += epoch.seconds;
        let part = epoch.held_out_part.name();
        let mut scalars = vec![
            ("loss/train".to_owned(), epoch.train.loss),
            ("accuracy/train".to_owned(), epoch.train.accuracy),
            (format!("loss/{part}"), epoch.held_out.loss),
            (format!("accuracy/{part}"), epoch.held_out.accuracy),
            ("learning_rate".to_owned(), epoch.learning_rate),
        ];
        scalars.extend(epoch.held_out_auc.map(|auc| (format!("auc/{part}"), auc)));
        record(&mut bytes, &event(time, epoch.epoch, scalars));
    }
    let results = [
        ("result/accuracy", summary.accuracy),
        ("result/naive_accuracy", summary.naive_accuracy),
        ("result/ceiling", summary.ceiling),
        ("result/auc", summary.auc),
        ("result/brier", summary.brier),
        ("result/p_naive", summary.p_naive),
    ];
    let results: Vec<_> = results.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    if !results.is_empty() {
        record(&mut bytes, &event(time, run.detail.epochs.len(), results));
    }
    let name: String = summary.name.chars().take(60).map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let file = format!("events.out.tfevents.{}.{}", start as u64, summary.id);
    write(folder.join(format!("{name}-{}", summary.id)).join(file), &bytes)
}

fn event(wall_time: f64, step: usize, scalars: Vec<(String, f64)>) -> Event {
    let value = scalars.into_iter().map(|(tag, value)| Scalar { tag, simple_value: Some(value as f32) }).collect();
    Event { wall_time, step: step as i64, file_version: None, summary: Some(Summary { value }) }
}

/// Length, its checksum, the message, its checksum (tensorflow/core/lib/io/record_writer.cc).
fn record(bytes: &mut Vec<u8>, event: &Event) {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(&message);
    bytes.extend(masked(&message).to_le_bytes());
}

fn masked(bytes: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(bytes);
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}
