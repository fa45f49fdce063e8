//! MLflow, through the REST API of a tracking server.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use super::{ExportError, Exported};
use crate::schedule::queue::title;

/// Metrics that the server takes in one call.
const BATCH: usize = 1000;
/// Characters that the server takes for a parameter.
const LONGEST: usize = 6000;

/// Sends every run to the server at `url` with parameters, metrics by epoch, tags and files; runs are in experiments by their name.
/// A run that is there already (by its id and start) is left as it is. Returns their pages.
///
/// # Errors
/// [`ExportError::Server`], with what the server said.
pub fn mlflow(runs: &[Exported], url: &str) -> Result<Vec<PathBuf>, ExportError> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(60)))
        .http_status_as_error(false)
        .build()
        .into();
    let server = Server { agent, url: url.trim_end_matches('/').to_owned() };
    runs.iter().map(|run| server.send(run)).collect()
}

struct Server {
    agent: Agent,
    url: String,
}

impl Server {
    fn send(&self, run: &Exported) -> Result<PathBuf, ExportError> {
        let summary = &run.detail.summary;
        let experiment = self.experiment(&summary.name)?;
        let page = |id: &str| PathBuf::from(format!("{}/#/experiments/{experiment}/runs/{id}", self.url));
        let stamp = format!("{} {}", summary.id, summary.started_at);
        let filter = format!("tags.`emo-runner.run` = '{stamp}'");
        let found =
            self.post("runs/search", &json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 }))?;
        if let Some(id) = found.pointer("/runs/0/info/run_id").and_then(Value::as_str) {
            return Ok(page(id));
        }
        let milliseconds = |time: &str| time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
        let start = milliseconds(&summary.started_at);
        let mut tags = vec![
            json!({ "key": "emo-runner.run", "value": stamp }),
            json!({ "key": "mlflow.source.name", "value": "emo-runner" }),
        ];
        tags.extend(
            run.detail
                .environment
                .iter()
                .map(|(name, value)| json!({ "key": format!("emo-runner.{name}"), "value": value })),
        );
        let made = self.post(
            "runs/create",
            &json!({ "experiment_id": experiment, "run_name": title(&summary.name, &summary.point), "start_time": start, "tags": tags }),
        )?;
        let id = made.pointer("/run/info/run_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.parameters(run, &id)?;
        self.metrics(run, &id, start)?;
        self.artifacts(run, made.pointer("/run/info/artifact_uri").and_then(Value::as_str).unwrap_or_default())?;
        let status = match summary.status.as_str() {
            "completed" => "FINISHED",
            "running" => "RUNNING",
            "interrupted" | "timed_out" | "pruned" => "KILLED",
            _ => "FAILED",
        };
        let end = summary.finished_at.as_deref().map_or(start, milliseconds);
        self.post("runs/update", &json!({ "run_id": id, "status": status, "end_time": end }))?;
        Ok(page(&id))
    }

    fn experiment(&self, name: &str) -> Result<String, ExportError> {
        let answer = self
            .agent
            .get(format!("{}/api/2.0/mlflow/experiments/get-by-name", self.url))
            .query("experiment_name", name)
            .call();
        let found = self.read("experiments/get-by-name", answer, true)?;
        if let Some(id) = found.pointer("/experiment/experiment_id").and_then(Value::as_str) {
            return Ok(id.to_owned());
        }
        let made = self.post("experiments/create", &json!({ "name": name }))?;
        Ok(made.get("experiment_id").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    fn parameters(&self, run: &Exported, id: &str) -> Result<(), ExportError> {
        let table: toml::Table = run.detail.experiment.parse().unwrap_or_default();
        let mut flat = Vec::new();
        flatten("", &toml::Value::Table(table), &mut flat);
        let short = |value: &str| value.chars().take(LONGEST).collect::<String>();
        let params: Vec<Value> = flat.iter().map(|(key, value)| json!({ "key": key, "value": short(value) })).collect();
        // The server takes a hundred at once.
        for params in params.chunks(100) {
            self.post("runs/log-batch", &json!({ "run_id": id, "params": params }))?;
        }
        Ok(())
    }

    fn metrics(&self, run: &Exported, id: &str, start: i64) -> Result<(), ExportError> {
        let summary = &run.detail.summary;
        let mut time = start as f64;
        let mut metrics = Vec::new();
        for epoch in &run.detail.epochs {
            time += epoch.seconds * 1000.0;
            let part = epoch.held_out_part.name();
            let values = [
                ("train_loss".to_owned(), Some(epoch.train.loss)),
                ("train_accuracy".to_owned(), Some(epoch.train.accuracy)),
                (format!("{part}_loss"), Some(epoch.held_out.loss)),
                (format!("{part}_accuracy"), Some(epoch.held_out.accuracy)),
                (format!("{part}_auc"), epoch.held_out_auc),
                ("learning_rate".to_owned(), Some(epoch.learning_rate)),
            ];
            metrics.extend(values.into_iter().filter_map(|(key, value)| {
                Some(json!({ "key": key, "value": value?, "timestamp": time as i64, "step": epoch.epoch }))
            }));
        }
        let results = [
            ("result_accuracy", summary.accuracy),
            ("result_accuracy_low", summary.accuracy_low),
            ("result_accuracy_high", summary.accuracy_high),
            ("result_naive_accuracy", summary.naive_accuracy),
            ("result_ceiling", summary.ceiling),
            ("result_auc", summary.auc),
            ("result_brier", summary.brier),
            ("result_p_naive", summary.p_naive),
        ];
        let last = run.detail.epochs.len();
        metrics.extend(results.into_iter().filter_map(|(key, value)| {
            Some(json!({ "key": key, "value": value?, "timestamp": time as i64, "step": last }))
        }));
        for metrics in metrics.chunks(BATCH) {
            self.post("runs/log-batch", &json!({ "run_id": id, "metrics": metrics }))?;
        }
        Ok(())
    }

    /// Files, where the server takes them itself; with a store of its own it would need that store's keys.
    fn artifacts(&self, run: &Exported, uri: &str) -> Result<(), ExportError> {
        let Some(path) = uri.strip_prefix("mlflow-artifacts:") else {
            tracing::warn!(uri, "the server does not take files itself, so they are not sent");
            return Ok(());
        };
        for (name, _) in &run.detail.artifacts {
            let Ok(bytes) = std::fs::read(run.folder.path().join(name)) else { continue };
            let what = format!("api/2.0/mlflow-artifacts/artifacts/{}/{name}", path.trim_start_matches('/'));
            let answer = self.agent.put(format!("{}/{what}", self.url)).send(&bytes[..]);
            self.read(&what, answer, false)?;
        }
        Ok(())
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value, ExportError> {
        let answer = self.agent.post(format!("{}/api/2.0/mlflow/{what}", self.url)).send_json(body);
        self.read(what, answer, false)
    }

    fn read(
        &self,
        what: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        may_be_missing: bool,
    ) -> Result<Value, ExportError> {
        let failed = |reason: String| ExportError::Server { url: self.url.clone(), reason };
        let mut answer = answer.map_err(|error| failed(format!("does not answer: {error}. Is it running there?")))?;
        let status = answer.status();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() || (may_be_missing && status.as_u16() == 404) {
            return Ok(value);
        }
        let message = value.get("message").and_then(Value::as_str).unwrap_or(text.trim());
        Err(failed(format!("refused {what} with status {}: {message}", status.as_u16())))
    }
}

/// `train.optimizer = adam` and so on.
fn flatten(path: &str, value: &toml::Value, flat: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                flatten(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, flat);
            }
        }
        toml::Value::String(text) => flat.push((path.to_owned(), text.clone())),
        other => flat.push((path.to_owned(), other.to_string())),
    }
}
