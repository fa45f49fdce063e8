//! `[sweep]`: many runs from one file. Its keys, and what its axes may be.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::kinds::{Objective, PrunerKind, SearchMethod};

/// Many runs from one file: `emo-runner sweep` does them, `run` refuses the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Sweep {
    /// How points are chosen.
    pub(super) method: SearchMethod,
    /// Points that `random` and `tpe` try; `grid` has as many as there are combinations.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) trials: usize,
    /// Runs of every point, with seed, seed + 1, seed + 2 and so on.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) repeats: usize,
    /// What `tpe` and pruners go by and the table is sorted by, measured on the validation set after the last epoch.
    pub(super) objective: Objective,
    /// Axes that move together: a list of groups, each the keys of axes with equally many values.
    #[schemars(inner(length(min = 2)))]
    pub(super) zip: Vec<Vec<String>>,
    /// Points of `tpe` that may run at the same time: point n is chosen from the results of the points before n - parallel,
    /// whatever `--jobs` is, so that a sweep finds the same on every machine.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) parallel: usize,
    /// Stops runs that will not be among the best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pruner: Option<Pruner>,
    /// What varies: a key of this file such as `"train.learning_rate"`, and its values: a list, or for random and tpe
    /// `{ uniform = [0.0, 0.6] }`, `{ log_uniform = [1e-4, 1e-2] }`, `{ int = [2, 6] }`, `{ choice = [32, 64] }`.
    #[schemars(schema_with = "axes_schema")]
    pub(super) axes: toml::Table,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            method: SearchMethod::Grid,
            trials: 20,
            repeats: 1,
            objective: Objective::ValAuc,
            zip: Vec::new(),
            parallel: 4,
            pruner: None,
            axes: toml::Table::new(),
        }
    }
}

fn axes_schema(_generator: &mut SchemaGenerator) -> Schema {
    let bounds = json_schema!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 });
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "anyOf": [
                { "type": "array", "minItems": 1 },
                {
                    "type": "object",
                    "properties": {
                        "uniform": bounds, "log_uniform": bounds, "int": bounds,
                        "choice": { "type": "array", "minItems": 1 }
                    }
                }
            ]
        }
    })
}

/// Stops runs that will not be among the best, judging by the objective after each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Pruner {
    /// The rule.
    pub(super) kind: PrunerKind,
    /// Epochs that every run may do; the first rung of asha.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) min_epochs: usize,
    /// Runs that must be completed before `median` stops any.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) startup_runs: usize,
    /// `asha` lets one in so many go on at each rung, and the next rung is so many times as far.
    #[schemars(range(min = 2, max = 100))]
    pub(super) reduction: usize,
}

impl Default for Pruner {
    fn default() -> Self {
        Self { kind: PrunerKind::Median, min_epochs: 1, startup_runs: 5, reduction: 3 }
    }
}

impl Pruner {
    /// The key `kind`.
    pub fn kind(&self) -> PrunerKind {
        self.kind
    }

    /// The key `min_epochs`.
    pub fn min_epochs(&self) -> usize {
        self.min_epochs
    }

    /// The key `startup_runs`.
    pub fn startup_runs(&self) -> usize {
        self.startup_runs
    }

    /// The key `reduction`.
    pub fn reduction(&self) -> usize {
        self.reduction
    }
}

impl Sweep {
    /// The key `method`.
    pub fn method(&self) -> SearchMethod {
        self.method
    }

    /// The key `trials`.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// The key `repeats`.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// The key `objective`.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The key `parallel`.
    pub fn parallel(&self) -> usize {
        self.parallel
    }

    /// The key `pruner`.
    pub fn pruner(&self) -> Option<Pruner> {
        self.pruner
    }
}
