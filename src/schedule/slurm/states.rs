//! What Slurm says of jobs: the answers of squeue and sacct, and what its states mean here.

use serde_json::Value;

/// One row of an answer: one task, or several that are in the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of the array.
    pub array: u64,
    /// Its tasks.
    pub tasks: Vec<u32>,
    /// Name of the job.
    pub name: String,
    /// What is said of them.
    pub word: Word,
}

/// What Slurm says of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    /// State, such as `RUNNING`; of several, such as `RUNNING+COMPLETING`, all.
    pub state: String,
    /// Reason, such as `Resources`; empty where there is none.
    pub reason: String,
    /// Exit code, where it is said.
    pub exit: Option<i32>,
    /// Signal, where it is said.
    pub signal: Option<i32>,
    /// Nodes, where it has any.
    pub nodes: String,
}

/// What a state means for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is to be begun, or was put back.
    Waits,
    /// It works, or its end is being tidied up.
    Works,
    /// It has ended by itself.
    Ended,
    /// Memory ran out.
    OutOfMemory,
    /// Its time was up.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
    /// Its node failed, or it had to make room.
    Lost,
    /// Not known here.
    Unknown,
}

impl Word {
    /// What the state means. States are those of Slurm 25.05's squeue(1), "JOB STATE CODES"; sacct's are the same.
    pub fn meaning(&self) -> Meaning {
        // Flags stand beside the state; what waits again has another state than what it was.
        let mut states = self.state.split('+').map(|state| state.split(' ').next().unwrap_or(state));
        let first = states.next().unwrap_or_default();
        if states.any(|flag| flag.starts_with("REQUEUE")) {
            return Meaning::Waits;
        }
        match first {
            "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD"
            | "SPECIAL_EXIT" | "SUSPENDED" | "STOPPED" | "POWER_UP_NODE" => Meaning::Waits,
            "RUNNING" | "COMPLETING" | "SIGNALING" | "STAGE_OUT" | "RESIZING" | "EXPEDITING" | "UPDATE_DB" => {
                Meaning::Works
            }
            "COMPLETED" | "FAILED" => Meaning::Ended,
            "OUT_OF_MEMORY" => Meaning::OutOfMemory,
            "TIMEOUT" | "DEADLINE" => Meaning::TimedOut,
            "CANCELLED" => Meaning::Cancelled,
            "NODE_FAIL" | "BOOT_FAIL" | "LAUNCH_FAILED" | "RECONFIG_FAIL" | "PREEMPTED" | "REVOKED" => Meaning::Lost,
            _ => Meaning::Unknown,
        }
    }

    /// `NODE_FAIL on n1`, `PENDING (Resources)`.
    pub fn told(&self) -> String {
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        let nodes = if self.nodes.is_empty() { String::new() } else { format!(" on {}", self.nodes) };
        let code = match (self.exit, self.signal) {
            (_, Some(signal)) if signal > 0 => format!(", signal {signal}"),
            (Some(code), _) if code > 0 => format!(", exit code {code}"),
            _ => String::new(),
        };
        format!("{}{reason}{nodes}{code}", self.state)
    }
}

/// The answer of `squeue --json`, of the versions from 21.08 (data parser v0.0.37) on. Jobs that are no arrays are left out.
/// `None` where it is something else.
pub fn from_json(text: &str) -> Option<Vec<Row>> {
    let answer: Value = serde_json::from_str(text).ok()?;
    Some(answer.get("jobs")?.as_array()?.iter().filter_map(row_of_json).collect())
}

fn row_of_json(job: &Value) -> Option<Row> {
    let array = number(&job["array_job_id"]).filter(|&array| array > 0)?;
    let task = number(&job["array_task_id"]).and_then(|task| u32::try_from(task).ok());
    let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    let listed = text("array_task_string");
    let tasks = if listed.is_empty() { task.into_iter().collect() } else { tasks(&listed) };
    let state = match &job["job_state"] {
        Value::Array(states) => states.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("+"),
        state => state.as_str().unwrap_or_default().to_owned(),
    };
    let code = &job["exit_code"];
    // A wait status in early versions, an object later.
    let (exit, signal) = match number(code).and_then(|status| i32::try_from(status).ok()) {
        Some(status) => (Some(status >> 8), Some(status & 127)),
        None => {
            let number = |value: &Value| number(value).and_then(|number| i32::try_from(number).ok());
            let signal = &code["signal"];
            (number(&code["return_code"]), number(&signal["id"]).or_else(|| number(&signal["signal_id"])))
        }
    };
    let reason = Some(text("state_reason")).filter(|reason| reason != "None").unwrap_or_default();
    let word = Word { state, reason, exit, signal, nodes: text("nodes") };
    Some(Row { array, tasks, name: text("name"), word })
}

/// A number, also as later versions write it: `{"set": true, "infinite": false, "number": 3}`.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Object(fields) => match (fields.get("set"), fields.get("number")) {
            (Some(Value::Bool(false)), _) => None,
            (_, Some(number)) => number.as_u64(),
            _ => None,
        },
        value => value.as_u64(),
    }
}

/// Columns of [`from_columns`]: array, tasks, state, reason, nodes, name.
pub const COLUMNS: &str = "%F|%K|%T|%r|%N|%j";

/// The answer of `squeue --noheader --format` with [`COLUMNS`].
pub fn from_columns(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut columns = line.splitn(6, '|');
        let mut next = || columns.next().map(str::trim);
        let (array, listed, state, reason, nodes, name) = (next()?, next()?, next()?, next()?, next()?, next()?);
        let reason = if reason == "None" { "" } else { reason };
        let word =
            Word { state: state.to_owned(), reason: reason.to_owned(), nodes: nodes.to_owned(), ..Word::default() };
        Some(Row { array: array.parse().ok()?, tasks: tasks(listed), name: name.to_owned(), word })
    };
    text.lines().filter_map(row).collect()
}

/// The answer of `sacct --parsable2 --noheader --format=JobID,State,ExitCode,NodeList`: `12_3|FAILED|7:0|n1`. Steps are left out.
pub fn from_accounting(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('|').collect();
        let &[id, state, code, nodes] = columns.as_slice() else { return None };
        let (array, task) = id.split_once('_')?;
        let (exit, signal) = code.split_once(':')?;
        let word = Word {
            state: state.to_owned(),
            exit: exit.parse().ok(),
            signal: signal.parse().ok(),
            nodes: nodes.to_owned(),
            ..Word::default()
        };
        Some(Row { array: array.parse().ok()?, tasks: vec![task.parse().ok()?], name: String::new(), word })
    };
    text.lines().filter_map(row).collect()
}

/// `0-3,7,10-20:5%4` to 0, 1, 2, 3, 7, 10, 15, 20; brackets around it are none.
fn tasks(text: &str) -> Vec<u32> {
    let listed = text.trim_start_matches('[').split(['%', ']']).next().unwrap_or_default();
    let range = |part: &str| {
        let (span, step) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let step: usize = step.parse().ok().filter(|&step| step > 0)?;
        Some((first..=last).step_by(step))
    };
    listed.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tasks_are_read() {
        assert_eq!(tasks("0-3,7,10-20:5%4"), [0, 1, 2, 3, 7, 10, 15, 20]);
        assert_eq!(tasks("[2-3%2]"), [2, 3]);
        assert_eq!(tasks("5"), [5]);
        assert_eq!(tasks("N/A"), [0_u32; 0]);
    }

    #[test]
    fn json_of_early_and_of_late_versions_is_read() {
        // 22.05 (v0.0.38), as it came.
        let early = r#"{"jobs": [
            {"job_id": 2, "array_job_id": 1, "array_task_id": 0, "array_task_string": "", "job_state": "FAILED",
             "state_reason": "NonZeroExitCode", "exit_code": 1792, "nodes": "n1", "name": "emo:a"},
            {"job_id": 1, "array_job_id": 1, "array_task_id": null, "array_task_string": "2-3%2", "job_state": "PENDING",
             "state_reason": "JobArrayTaskLimit", "exit_code": 0, "nodes": "", "name": "emo:a"},
            {"job_id": 9, "array_job_id": 0, "array_task_id": null, "array_task_string": "", "job_state": "RUNNING"}]}"#;
        let rows = from_json(early).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].word.told(), "FAILED (NonZeroExitCode) on n1, exit code 7");
        assert_eq!((rows[1].tasks.clone(), rows[1].word.meaning()), (vec![2, 3], Meaning::Waits));
        // The form of 23.11 and later (v0.0.40), after Slurm's OpenAPI specification.
        let late = r#"{"jobs": [{"array_job_id": {"set": true, "infinite": false, "number": 12},
            "array_task_id": {"set": true, "infinite": false, "number": 3}, "array_task_string": "",
            "job_state": ["RUNNING", "COMPLETING"], "state_reason": "None", "nodes": "gpu[1-2]", "name": "emo:b",
            "exit_code": {"status": ["SUCCESS"], "return_code": {"set": true, "infinite": false, "number": 0},
                          "signal": {"id": {"set": false, "infinite": false, "number": 0}, "name": ""}}}]}"#;
        let rows = from_json(late).unwrap();
        assert_eq!((rows[0].array, rows[0].tasks.clone()), (12, vec![3]));
        assert_eq!(rows[0].word.told(), "RUNNING+COMPLETING on gpu[1-2]");
        assert_eq!(rows[0].word.meaning(), Meaning::Works);
        assert_eq!(from_json("squeue: error"), None);
    }

    #[test]
    fn columns_and_accounting_are_read() {
        let rows = from_columns("1|2-3%2|PENDING|Resources||emo:a|b\n1|0|RUNNING|None|n1|emo:a\nnonsense\n");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].tasks.clone(), rows[0].name.as_str()), (vec![2, 3], "emo:a|b"));
        assert_eq!((rows[1].word.told().as_str(), rows[1].word.meaning()), ("RUNNING on n1", Meaning::Works));
        let text = "12_3|CANCELLED by 1000|0:15|n2\n12_3.batch|CANCELLED|0:15|n2\n12_4|OUT_OF_MEMORY|0:125|n1\n";
        let rows = from_accounting(text);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].word.meaning(), Meaning::Cancelled);
        assert_eq!(rows[1].word.meaning(), Meaning::OutOfMemory);
    }

    #[test]
    fn a_state_that_is_put_back_waits_and_an_unknown_one_is_no_end() {
        let meaning = |state: &str| Word { state: state.to_owned(), ..Word::default() }.meaning();
        assert_eq!(meaning("NODE_FAIL+REQUEUED"), Meaning::Waits);
        assert_eq!(meaning("NODE_FAIL"), Meaning::Lost);
        assert_eq!(meaning("HIBERNATING"), Meaning::Unknown);
    }
}
