//! The axes of a sweep: what a file says, checked value by value, and the points that they span.

use std::fmt;

use serde_json::Value as Json;
use toml::Value;

use super::check::{Unknown, check_value, property, unknown_key};
use super::document::Document;
use super::error::Problem;
use super::kinds::SearchMethod;
use super::sweep::Sweep;

/// Keys that a sweep cannot vary, and what to do instead.
const FIXED: [(&str, &str); 7] = [
    ("name", "every run has the name of its file"),
    ("description", "every run has the description of its file"),
    ("tags", "every run has the tags of its file"),
    ("sweep", "a sweep cannot vary itself"),
    ("extends", "write several files instead"),
    ("split.folds", "set split.folds in the file: every point is run once for each fold"),
    ("split.fold", "set split.folds in the file: every point is run once for each fold"),
];

/// Keys with their values: a place in the space of a sweep.
pub type Point = Vec<(String, Value)>;

/// One direction in which a sweep moves.
#[derive(Debug, Clone, PartialEq)]
pub enum Dimension {
    /// One axis, or several that move together: choice `i` gives each key its value number `i`.
    Choice {
        /// The keys.
        keys: Vec<String>,
        /// For each key its values; all lists have the same length.
        values: Vec<Vec<Value>>,
    },
    /// A range of numbers.
    Range {
        /// The key.
        key: String,
        /// Where the numbers lie.
        scale: Scale,
        /// Smallest number.
        low: f64,
        /// Largest number.
        high: f64,
    },
}

/// How numbers lie in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Uniform,
    /// Evenly in their logarithm.
    LogUniform,
    /// Whole numbers, evenly, both ends included.
    Integer,
}

impl Dimension {
    /// How many choices there are; `None` for a range.
    pub fn choices(&self) -> Option<usize> {
        match self {
            Self::Choice { values, .. } => values.first().map(Vec::len),
            Self::Range { .. } => None,
        }
    }

    /// The coordinates in which a search moves: choices are counted from 0; the upper end is not included.
    pub fn bounds(&self) -> (f64, f64) {
        match self {
            Self::Choice { .. } => (0.0, self.choices().unwrap_or(1) as f64),
            Self::Range { scale: Scale::Uniform, low, high, .. } => (*low, *high),
            Self::Range { scale: Scale::LogUniform, low, high, .. } => (low.ln(), high.ln()),
            Self::Range { scale: Scale::Integer, low, high, .. } => (*low, high + 1.0),
        }
    }

    /// Keys and values at a coordinate.
    pub fn at(&self, coordinate: f64) -> Point {
        match self {
            Self::Choice { keys, values } => {
                let last = self.choices().unwrap_or(1) - 1;
                let choice = (coordinate.max(0.0) as usize).min(last);
                keys.iter().zip(values).map(|(key, values)| (key.clone(), values[choice].clone())).collect()
            }
            Self::Range { key, scale, low, high } => {
                let value = match scale {
                    Scale::Uniform => Value::Float(coordinate.clamp(*low, *high)),
                    Scale::LogUniform => Value::Float(coordinate.exp().clamp(*low, *high)),
                    Scale::Integer => Value::Integer(coordinate.floor().clamp(*low, *high) as i64),
                };
                vec![(key.clone(), value)]
            }
        }
    }
}

/// An axis as the file has it.
struct Axis {
    key: String,
    values: Values,
}

enum Values {
    List(Vec<Value>),
    Range(Scale, f64, f64),
}

/// The dimensions of a sweep, in the order of the file.
pub(super) fn dimensions(sweep: &Sweep, schema: &Json, document: &Document) -> Result<Vec<Dimension>, Vec<Problem>> {
    let mut reader = Reader { schema, document, axes: Vec::new(), problems: Vec::new() };
    reader.section(&sweep.axes, "");
    reader.axes.sort_by_key(|axis| document.position(&place(&axis.key)));
    if reader.axes.is_empty() && sweep.method != SearchMethod::Grid && reader.problems.is_empty() {
        reader.report("sweep.axes", format!("{} needs at least one axis", sweep.method), None);
    }
    if sweep.method == SearchMethod::Grid {
        reader.only_lists();
    }
    reader.no_value_twice(&sweep.zip);
    let dimensions = reader.group(&sweep.zip);
    if reader.problems.is_empty() { Ok(dimensions) } else { Err(reader.problems) }
}

/// Where the axis of a key stands.
pub(super) fn place(key: &str) -> String {
    format!("sweep.axes.{key}")
}

struct Reader<'a> {
    schema: &'a Json,
    document: &'a Document,
    axes: Vec<Axis>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn report(&mut self, key: &str, message: String, help: Option<String>) {
        let place = self.document.value_place(key);
        self.problems.push(Problem { key: key.to_owned(), message, label: String::new(), help, place });
    }

    /// `"train.epochs" = [1, 2]` and `train.epochs = [1, 2]` mean the same.
    fn section(&mut self, table: &toml::Table, prefix: &str) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Array(values) => self.list(key, values),
                Value::Table(inner) => match inner.iter().next() {
                    Some((kind, bounds)) if inner.len() == 1 && is_kind(kind) => self.distribution(key, kind, bounds),
                    Some(_) if !inner.keys().any(|key| is_kind(key)) => self.section(inner, &key),
                    _ => {
                        let help =
                            "write one of choice, uniform, log_uniform and int, such as { int = [2, 6] }".to_owned();
                        self.report(&place(&key), "expected one kind of range".to_owned(), Some(help));
                    }
                },
                _ => {
                    let help = "write a list, such as [0.001, 0.01], or { log_uniform = [1e-4, 1e-2] }".to_owned();
                    self.report(&place(&key), "an axis has several values".to_owned(), Some(help));
                }
            }
        }
    }

    /// Axes that move together may repeat a value; elsewhere it would be the same points again.
    fn no_value_twice(&mut self, zip: &[Vec<String>]) {
        let alone = self.axes.iter().filter(|axis| !zip.iter().flatten().any(|key| *key == axis.key));
        let mut twice = Vec::new();
        for axis in alone {
            let Values::List(values) = &axis.values else { continue };
            let again = (1..values.len()).filter(|&index| values[..index].contains(&values[index]));
            twice.extend(again.map(|index| format!("{}[{index}]", place(&axis.key))));
        }
        twice.iter().for_each(|path| self.report(path, "this value stands twice".to_owned(), None));
    }

    fn schema_of(&mut self, key: &str) -> Option<Json> {
        let fixed = if key.starts_with("sweep.") { "sweep" } else { key };
        if let Some((_, help)) = FIXED.iter().find(|(name, _)| *name == fixed) {
            self.report(&place(key), format!("\"{key}\" cannot be an axis"), Some((*help).to_owned()));
            return None;
        }
        if self.axes.iter().any(|axis| axis.key == key) {
            self.report(&place(key), format!("the axis \"{key}\" is given twice"), None);
            return None;
        }
        match property(self.schema, key) {
            Ok(schema) => Some(schema.clone()),
            Err(Unknown { parent, key: name }) => {
                let at = self.document.key_place(&place(key));
                self.problems.push(unknown_key(self.schema, &parent, &name, &place(key), at));
                None
            }
        }
    }

    fn list(&mut self, key: String, values: &[Value]) {
        let Some(schema) = self.schema_of(&key) else { return };
        if values.is_empty() {
            self.report(&place(&key), "an axis needs at least one value".to_owned(), None);
        }
        for (index, value) in values.iter().enumerate() {
            let path = format!("{}[{index}]", place(&key));
            self.problems.extend(check_value(value, &schema, self.schema, &path, self.document));
        }
        self.axes.push(Axis { key, values: Values::List(values.to_vec()) });
    }

    fn distribution(&mut self, key: String, kind: &str, bounds: &Value) {
        let at = format!("{}.{kind}", place(&key));
        if kind == "choice" {
            return match bounds {
                Value::Array(values) => self.list(key, values),
                _ => self.report(&at, "expected a list of values".to_owned(), None),
            };
        }
        let Some(schema) = self.schema_of(&key) else { return };
        let scale = match kind {
            "uniform" => Scale::Uniform,
            "log_uniform" => Scale::LogUniform,
            _ => Scale::Integer,
        };
        if schema["type"] == "integer" && scale != Scale::Integer {
            let help = format!("write {{ int = [{}] }}", "low, high");
            return self.report(&at, format!("\"{key}\" is a whole number"), Some(help));
        }
        let ends: Vec<&Value> = bounds.as_array().map(|ends| ends.iter().collect()).unwrap_or_default();
        let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
        let whole = scale != Scale::Integer || ends.iter().all(|end| end.is_integer());
        let &[low, high] = &ends[..] else {
            return self.report(&at, "expected [low, high]".to_owned(), None);
        };
        let (Some(from), Some(to), true) = (number(low), number(high), whole) else {
            let what = if whole { "two numbers" } else { "two whole numbers" };
            return self.report(&at, format!("expected {what}"), None);
        };
        if from >= to || (scale == Scale::LogUniform && from <= 0.0) {
            let least = if scale == Scale::LogUniform { ", both above 0" } else { "" };
            return self.report(&at, format!("expected the smaller number first{least}"), None);
        }
        for (index, end) in ends.into_iter().enumerate() {
            let path = format!("{at}[{index}]");
            self.problems.extend(check_value(end, &schema, self.schema, &path, self.document));
        }
        self.axes.push(Axis { key, values: Values::Range(scale, from, to) });
    }

    fn only_lists(&mut self) {
        let ranges: Vec<String> = self
            .axes
            .iter()
            .filter(|axis| matches!(axis.values, Values::Range(..)))
            .map(|axis| place(&axis.key))
            .collect();
        for key in ranges {
            let help = "list the values, or set sweep.method to \"random\" or \"tpe\"".to_owned();
            self.report(&key, "a grid needs a list of values".to_owned(), Some(help));
        }
    }

    /// Axes of a `zip` group become one dimension, at the place of the group's first axis.
    fn group(&mut self, zip: &[Vec<String>]) -> Vec<Dimension> {
        for (index, group) in zip.iter().enumerate() {
            self.check_group(&format!("sweep.zip[{index}]"), group, &zip[..index]);
        }
        let mut dimensions: Vec<Dimension> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for axis in &self.axes {
            if taken.contains(&axis.key) {
                continue;
            }
            let group = zip.iter().find(|group| group.contains(&axis.key));
            let keys = group.cloned().unwrap_or_else(|| vec![axis.key.clone()]);
            taken.extend(keys.iter().cloned());
            dimensions.push(match &axis.values {
                Values::Range(scale, low, high) => {
                    Dimension::Range { key: axis.key.clone(), scale: *scale, low: *low, high: *high }
                }
                Values::List(_) => {
                    let values = keys.iter().filter_map(|key| self.values(key).map(<[Value]>::to_vec)).collect();
                    Dimension::Choice { keys, values }
                }
            });
        }
        dimensions
    }

    fn values(&self, key: &str) -> Option<&[Value]> {
        match &self.axes.iter().find(|axis| axis.key == key)?.values {
            Values::List(values) => Some(values),
            Values::Range(..) => None,
        }
    }

    fn check_group(&mut self, at: &str, group: &[String], before: &[Vec<String>]) {
        let mut lengths = Vec::new();
        for (index, key) in group.iter().enumerate() {
            let twice = group[..index].contains(key) || before.iter().any(|group| group.contains(key));
            match self.values(key).map(<[Value]>::len) {
                _ if twice => self.report(at, format!("\"{key}\" is zipped twice"), None),
                Some(length) => lengths.push(format!("\"{key}\" has {length}")),
                None => {
                    let help = "name axes that are lists of values".to_owned();
                    self.report(at, format!("\"{key}\" is no axis with a list of values"), Some(help));
                }
            }
        }
        let numbers: Vec<usize> = group.iter().filter_map(|key| self.values(key).map(<[Value]>::len)).collect();
        if numbers.windows(2).any(|pair| pair[0] != pair[1]) {
            let message = format!("zipped axes need equally many values: {}", lengths.join(", "));
            self.report(at, message, None);
        }
    }
}

fn is_kind(name: &str) -> bool {
    ["uniform", "log_uniform", "int", "choice"].contains(&name)
}

/// A point in a few words: `activation=relu, learning_rate=0.001`.
#[derive(Debug)]
pub struct Words<'a>(pub &'a [(String, Value)]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
            let unique = self.0.iter().filter(|(other, _)| last(other) == last(key)).count() == 1;
            let comma = if index == 0 { "" } else { ", " };
            let name = if unique { last(key) } else { key.clone() };
            write!(f, "{comma}{name}={}", word(value))?;
        }
        Ok(())
    }
}

/// A value as a person would write it, without quotes.
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) if *number != 0.0 && number.abs() < 1e-3 => {
            let (all, short) = (format!("{number:e}"), format!("{number:.3e}"));
            if all.len() < short.len() { all } else { short }
        }
        Value::Float(number) => {
            let short = format!("{number:.5}");
            let short = short.trim_end_matches('0').trim_end_matches('.');
            if short.len() < number.to_string().len() { short.to_owned() } else { number.to_string() }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(word).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
