//! A study database as Optuna 3.2 and later have it (schema 12, alembic v3.2.0.a).

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{RunSummary, StoreError};
use crate::events::Epoch;

/// Runs of one experiment as a study: axes are parameters, the objective is the validation AUC where every completed run has one,
/// else the test accuracy. `file` must not exist.
///
/// # Errors
/// [`StoreError`] when the file cannot be written.
pub fn write_optuna(file: &Path, studies: &BTreeMap<String, Vec<(RunSummary, Vec<Epoch>)>>) -> Result<(), StoreError> {
    let open = |error: rusqlite::Error| StoreError::Open { path: file.to_owned(), reason: error.to_string() };
    let mut connection = Connection::open(file).map_err(open)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("optuna.sql"))?;
    for (study, (name, runs)) in studies.iter().enumerate() {
        let study = study as i64 + 1;
        let by_validation =
            runs.iter().filter(|(run, _)| run.status == "completed").all(|(run, _)| run.validation_auc.is_some());
        let objective = if by_validation { "validation_auc" } else { "test_accuracy" };
        transaction.execute("INSERT INTO studies VALUES (?1, ?2)", params![study, name])?;
        transaction.execute(
            "INSERT INTO study_directions (direction, study_id, objective) VALUES ('MAXIMIZE', ?1, 0)",
            [study],
        )?;
        transaction.execute(
            "INSERT INTO study_user_attributes (study_id, \"key\", value_json) VALUES (?1, 'objective', ?2)",
            params![study, json!(objective).to_string()],
        )?;
        let axes = axes(runs);
        for (number, (run, epochs)) in runs.iter().enumerate() {
            trial(&transaction, (study, number), run, epochs, (by_validation, &axes))?;
        }
    }
    Ok(transaction.commit()?)
}

/// `2026-11-24 04:39:42.295296`, UTC without saying so, as Optuna has it.
fn time(rfc: &str) -> String {
    rfc.trim_end_matches('Z').replace('T', " ").chars().take(26).collect()
}

fn trial(
    connection: &Connection,
    (study, number): (i64, usize),
    run: &RunSummary,
    epochs: &[Epoch],
    (by_validation, axes): (bool, &BTreeMap<String, Value>),
) -> Result<(), StoreError> {
    let state = match run.status.as_str() {
        "completed" => "COMPLETE",
        "pruned" => "PRUNED",
        "running" => "RUNNING",
        "planned" => "WAITING",
        _ => "FAIL",
    };
    connection.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![number as i64, study, state, time(&run.started_at), run.finished_at.as_deref().map(time)],
    )?;
    let trial = connection.last_insert_rowid();
    let value = if by_validation { run.validation_auc } else { run.accuracy };
    if let Some(value) = value.filter(|_| matches!(state, "COMPLETE" | "PRUNED")) {
        connection.execute(
            "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?1, 0, ?2, 'FINITE')",
            params![trial, value],
        )?;
    }
    for epoch in epochs {
        let value = if by_validation { epoch.held_out_auc } else { Some(epoch.held_out.accuracy) };
        let Some(value) = value else { continue };
        connection.execute(
            "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) VALUES (?1, ?2, ?3, 'FINITE')",
            params![trial, epoch.epoch as i64, value],
        )?;
    }
    for (name, text) in point(run) {
        let Some(distribution) = axes.get(name) else { continue };
        // A category is told by its place among the choices, a number by itself.
        let value = match distribution.pointer("/attributes/choices").and_then(Value::as_array) {
            Some(choices) => choices.iter().position(|choice| choice == text).map(|place| place as f64),
            None => text.parse().ok(),
        };
        connection.execute(
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?1, ?2, ?3, ?4)",
            params![trial, name, value, distribution.to_string()],
        )?;
    }
    let attributes = [
        ("run", json!(run.id)),
        ("seed", json!(run.seed)),
        ("test_accuracy", json!(run.accuracy)),
        ("naive_accuracy", json!(run.naive_accuracy)),
        ("ceiling", json!(run.ceiling)),
        ("test_auc", json!(run.auc)),
        ("p_naive", json!(run.p_naive)),
        ("status", json!(run.status)),
    ];
    for (key, value) in attributes {
        connection.execute(
            "INSERT INTO trial_user_attributes (trial_id, \"key\", value_json) VALUES (?1, ?2, ?3)",
            params![trial, key, value.to_string()],
        )?;
    }
    Ok(())
}

/// Axes and values of a run's point; a seed is a repeat, not an axis.
fn point(run: &RunSummary) -> impl Iterator<Item = (&str, &str)> {
    let all = run.point.split(", ").filter_map(|part| part.split_once('='));
    all.filter(|(name, _)| !matches!(*name, "seed" | "fold"))
}

/// The distribution of each axis, as far as its values tell.
fn axes(runs: &[(RunSummary, Vec<Epoch>)]) -> BTreeMap<String, Value> {
    let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, text) in runs.iter().flat_map(|(run, _)| point(run)) {
        let seen = values.entry(name.to_owned()).or_default();
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    let distribution = |texts: Vec<&str>| {
        let numbers: Option<Vec<f64>> =
            texts.iter().map(|text| text.parse::<f64>().ok().filter(|number| number.is_finite())).collect();
        let Some(numbers) = numbers else {
            return json!({ "name": "CategoricalDistribution", "attributes": { "choices": texts } });
        };
        let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        json!({ "name": "FloatDistribution", "attributes": { "step": null, "low": low, "high": high, "log": false } })
    };
    values.into_iter().map(|(name, texts)| (name, distribution(texts))).collect()
}
