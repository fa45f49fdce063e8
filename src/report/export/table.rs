//! Runs, epochs and predictions as three tables: CSV, JSON and Parquet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ExportError, Exported, write};

/// Rows of a group of a Parquet file.
const GROUP: usize = 100_000;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Number,
}

/// A table whose cells are JSON values.
struct Table {
    name: &'static str,
    columns: Vec<(&'static str, Kind)>,
    rows: Vec<Vec<Value>>,
}

/// Columns of the runs table; a test holds that none is forgotten.
const RUNS: [(&str, Kind); 37] = [
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("point", Kind::Text),
    ("status", Kind::Text),
    ("seed", Kind::Integer),
    ("backend", Kind::Text),
    ("started_at", Kind::Text),
    ("finished_at", Kind::Text),
    ("seconds", Kind::Number),
    ("epochs", Kind::Integer),
    ("parameters", Kind::Integer),
    ("validation_accuracy", Kind::Number),
    ("validation_loss", Kind::Number),
    ("validation_auc", Kind::Number),
    ("accuracy", Kind::Number),
    ("accuracy_low", Kind::Number),
    ("accuracy_high", Kind::Number),
    ("naive_accuracy", Kind::Number),
    ("p_naive", Kind::Number),
    ("p_naive_adjusted", Kind::Number),
    ("auc", Kind::Number),
    ("auc_low", Kind::Number),
    ("auc_high", Kind::Number),
    ("average_precision", Kind::Number),
    ("brier", Kind::Number),
    ("calibration_error", Kind::Number),
    ("test_images", Kind::Integer),
    ("leaked", Kind::Integer),
    ("ceiling", Kind::Number),
    ("ceiling_low", Kind::Number),
    ("ceiling_high", Kind::Number),
    ("tuned_threshold", Kind::Number),
    ("tuned_accuracy", Kind::Number),
    ("peak_memory", Kind::Integer),
    ("message", Kind::Text),
    ("fingerprint", Kind::Text),
    ("split_hash", Kind::Text),
];

const EPOCHS: [(&str, Kind); 11] = [
    ("run", Kind::Text),
    ("epoch", Kind::Integer),
    ("train_loss", Kind::Number),
    ("train_accuracy", Kind::Number),
    ("held_out_part", Kind::Text),
    ("held_out_loss", Kind::Number),
    ("held_out_accuracy", Kind::Number),
    ("held_out_auc", Kind::Number),
    ("learning_rate", Kind::Number),
    ("seconds", Kind::Number),
    ("weights_hash", Kind::Text),
];

const PREDICTIONS: [(&str, Kind); 4] =
    [("run", Kind::Text), ("image", Kind::Text), ("label", Kind::Integer), ("probability", Kind::Number)];

fn tables(runs: &[Exported]) -> [Table; 3] {
    let of_run = |run: &Exported| {
        let value = serde_json::to_value(&run.detail.summary).unwrap_or_default();
        RUNS.iter().map(|(name, _)| value.get(*name).cloned().unwrap_or_default()).collect()
    };
    let of_epochs = |run: &Exported| -> Vec<Vec<Value>> {
        let id = &run.detail.summary.id;
        let row = |epoch: &crate::events::Epoch| {
            vec![
                json!(id),
                json!(epoch.epoch),
                json!(epoch.train.loss),
                json!(epoch.train.accuracy),
                json!(epoch.held_out_part.name()),
                json!(epoch.held_out.loss),
                json!(epoch.held_out.accuracy),
                json!(epoch.held_out_auc),
                json!(epoch.learning_rate),
                json!(epoch.seconds),
                json!(epoch.weights_hash),
            ]
        };
        run.detail.epochs.iter().map(row).collect()
    };
    let of_predictions = |run: &Exported| -> Vec<Vec<Value>> {
        let (id, all) = (&run.detail.summary.id, &run.predictions);
        let row = |image: usize| {
            let label = u8::from(all.labels[image]);
            vec![json!(id), json!(all.names[image]), json!(label), json!(all.probabilities[image])]
        };
        (0..all.names.len()).map(row).collect()
    };
    [
        Table { name: "runs", columns: RUNS.to_vec(), rows: runs.iter().map(of_run).collect() },
        Table { name: "epochs", columns: EPOCHS.to_vec(), rows: runs.iter().flat_map(of_epochs).collect() },
        Table {
            name: "predictions",
            columns: PREDICTIONS.to_vec(),
            rows: runs.iter().flat_map(of_predictions).collect(),
        },
    ]
}

/// `runs.csv`, `epochs.csv` and `predictions.csv` in a folder.
///
/// # Errors
/// [`ExportError::File`].
pub fn csv(runs: &[Exported], folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let file = |table: &Table| {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let fail = |error| ExportError::library("CSV", error);
        writer.write_record(table.columns.iter().map(|(name, _)| *name)).map_err(fail)?;
        for row in &table.rows {
            let cell = |value: &Value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            writer.write_record(row.iter().map(cell)).map_err(fail)?;
        }
        let bytes = writer.into_inner().map_err(|error| ExportError::library("CSV", error))?;
        write(folder.join(format!("{}.csv", table.name)), &bytes)
    };
    tables(runs).iter().map(file).collect()
}

/// Everything about every run as one JSON file.
///
/// # Errors
/// [`ExportError::File`].
pub fn json(runs: &[Exported], file: &Path) -> Result<Vec<PathBuf>, ExportError> {
    #[derive(Serialize)]
    struct Run<'a> {
        #[serde(flatten)]
        detail: &'a crate::store::RunDetail,
        predictions: Vec<Value>,
    }
    let of = |run: &'_ Exported| -> Vec<Value> {
        let all = &run.predictions;
        let one = |image: usize| json!({ "image": all.names[image], "label": u8::from(all.labels[image]), "probability": all.probabilities[image] });
        (0..all.names.len()).map(one).collect()
    };
    let all: Vec<Run<'_>> = runs.iter().map(|run| Run { detail: &run.detail, predictions: of(run) }).collect();
    let text = serde_json::to_vec_pretty(&all).map_err(|error| ExportError::library("JSON", error))?;
    Ok(vec![write(file.to_owned(), &text)?])
}

/// `runs.parquet`, `epochs.parquet` and `predictions.parquet` in a folder.
///
/// # Errors
/// [`ExportError::File`].
pub fn parquet(runs: &[Exported], folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let file = |table: &Table| {
        let bytes = parquet_bytes(table).map_err(|error| ExportError::library("Parquet", error))?;
        write(folder.join(format!("{}.parquet", table.name)), &bytes)
    };
    tables(runs).iter().map(file).collect()
}

fn parquet_bytes(table: &Table) -> Result<Vec<u8>, ParquetError> {
    let field = |(name, kind): &(&str, Kind)| match kind {
        Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"),
        Kind::Integer => format!("OPTIONAL INT64 {name};"),
        Kind::Number => format!("OPTIONAL DOUBLE {name};"),
    };
    let fields: String = table.columns.iter().map(field).collect();
    let schema = Arc::new(parse_message_type(&format!("message {} {{ {fields} }}", table.name))?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    for rows in table.rows.chunks(GROUP) {
        let mut group = writer.next_row_group()?;
        for (index, (_, kind)) in table.columns.iter().enumerate() {
            column(&mut group, *kind, rows.iter().map(|row| &row[index]))?;
        }
        group.close()?;
    }
    writer.into_inner()
}

fn column<'a>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    kind: Kind,
    cells: impl Iterator<Item = &'a Value> + Clone,
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else { return Ok(()) };
    // 1 where there is a value, 0 where there is none.
    match kind {
        Kind::Text => {
            let values: Vec<ByteArray> = cells.clone().filter_map(|cell| cell.as_str().map(ByteArray::from)).collect();
            let levels: Vec<i16> = cells.map(|cell| i16::from(cell.is_string())).collect();
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Integer => {
            let values: Vec<i64> = cells.clone().filter_map(Value::as_i64).collect();
            let levels: Vec<i16> = cells.map(|cell| i16::from(cell.as_i64().is_some())).collect();
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Number => {
            let values: Vec<f64> = cells.clone().filter_map(Value::as_f64).collect();
            let levels: Vec<i16> = cells.map(|cell| i16::from(cell.as_f64().is_some())).collect();
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}
