//! Holds a file's values against the schema: unknown keys, types, ranges, words. All problems, not only the first.

use serde_json::Value as Json;
use toml::Value;

use super::document::Document;
use super::error::{Place, Problem};
use super::suggest::nearest;

/// Problems of `root` under `schema`, in no particular order.
pub(super) fn check(root: &toml::Table, schema: &Json, document: &Document) -> Vec<Problem> {
    let mut checker = Checker { schema, document, problems: Vec::new() };
    checker.table(root, schema, "");
    if !root.contains_key("data") {
        let help = "say where the images are, for example: [data] source = \"builtin:emoji\"".to_owned();
        checker.report("data", "missing section [data]".to_owned(), "", Some(help));
    }
    checker.problems
}

/// Problems of one value that stands at `path`; `root` is the schema of the whole file.
pub(super) fn check_value(value: &Value, schema: &Json, root: &Json, path: &str, document: &Document) -> Vec<Problem> {
    let mut checker = Checker { schema: root, document, problems: Vec::new() };
    checker.value(value, schema, path);
    checker.problems
}

/// A key that the schema does not have.
pub(super) struct Unknown {
    /// The section that lacks it.
    pub(super) parent: String,
    /// The key in that section.
    pub(super) key: String,
}

/// The schema of a key given with its sections, such as `train.epochs`.
pub(super) fn property<'a>(root: &'a Json, path: &str) -> Result<&'a Json, Unknown> {
    let mut schema = root;
    let mut parent = String::new();
    for key in path.split('.') {
        let inner = &resolve(root, schema)["properties"][key];
        if inner.is_null() {
            return Err(Unknown { parent, key: key.to_owned() });
        }
        schema = inner;
        parent = join(&parent, key);
    }
    Ok(resolve(root, schema))
}

/// The problem of a key that `parent` does not have.
pub(super) fn unknown_key(root: &Json, parent: &str, key: &str, path: &str, place: Place) -> Problem {
    let empty = serde_json::Map::new();
    let section_schema = if parent.is_empty() { Ok(root) } else { property(root, parent) };
    let properties = section_schema.ok().and_then(|schema| schema["properties"].as_object()).unwrap_or(&empty);
    let message = format!("unknown key \"{key}\" in {}", section(parent));
    let help = Some(advice(root, key, parent, properties));
    Problem { key: path.to_owned(), message, label: String::new(), help, place }
}

struct Checker<'a> {
    schema: &'a Json,
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, key: &str, message: String, label: &str, help: Option<String>) {
        let place = self.document.value_place(key);
        self.problems.push(Problem { key: key.to_owned(), message, label: label.to_owned(), help, place });
    }

    fn value(&mut self, value: &Value, schema: &Json, path: &str) {
        let schema = resolve(self.schema, schema);
        if let Some(words) = words(schema) {
            return self.word(value, &words, path);
        }
        match kind(schema) {
            Some("object") => match value {
                Value::Table(table) => self.table(table, schema, path),
                other => self.wrong_type(path, "a table", other),
            },
            Some("array") => match value {
                Value::Array(items) => self.array(items, schema, path),
                other => self.wrong_type(path, &list_words(schema), other),
            },
            Some("integer") => match value {
                Value::Integer(number) => self.range(*number as f64, &number.to_string(), schema, path, "an integer"),
                other => self.wrong_type(path, &range_words(schema, "an integer"), other),
            },
            Some("number") => match value {
                Value::Integer(number) => self.range(*number as f64, &number.to_string(), schema, path, "a number"),
                Value::Float(number) => self.range(*number, &short(*number), schema, path, "a number"),
                other => self.wrong_type(path, &range_words(schema, "a number"), other),
            },
            Some("boolean") if !value.is_bool() => self.wrong_type(path, "true or false", value),
            Some("string") => match value {
                Value::String(text) => self.text(text, schema, path),
                other => self.wrong_type(path, "a string", other),
            },
            _ => {}
        }
    }

    fn table(&mut self, table: &toml::Table, schema: &Json, path: &str) {
        let schema = resolve(self.schema, schema);
        let empty = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        for (key, value) in table {
            let child = join(path, key);
            match properties.get(key) {
                Some(schema) => self.value(value, schema, &child),
                // Axes are named by the user and checked by themselves.
                None if schema["additionalProperties"].is_object() => {}
                None => {
                    let place = self.document.key_place(&child);
                    self.problems.push(unknown_key(self.schema, path, key, &child, place));
                }
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if !table.contains_key(required) {
                self.report(
                    &join(path, required),
                    format!("missing key \"{required}\" in {}", section(path)),
                    "",
                    properties[required]["description"].as_str().map(first_line),
                );
            }
        }
    }

    fn array(&mut self, items: &[Value], schema: &Json, path: &str) {
        let bound = |key: &str| schema[key].as_u64().map(|bound| bound as usize);
        let too_few = bound("minItems").is_some_and(|least| items.len() < least);
        let too_many = bound("maxItems").is_some_and(|most| items.len() > most);
        if too_few || too_many {
            let message = format!("expected {}, found {} values", list_words(schema), items.len());
            self.report(path, message, "", None);
        }
        for (index, item) in items.iter().enumerate() {
            let child = format!("{path}[{index}]");
            match schema["prefixItems"].get(index).or_else(|| schema.get("items")) {
                Some(schema) => self.value(item, schema, &child),
                None => continue,
            }
        }
    }

    fn range(&mut self, number: f64, written: &str, schema: &Json, path: &str, what: &str) {
        let bound = |key: &str| schema[key].as_f64();
        let outside = !number.is_finite()
            || bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
            || bound("exclusiveMinimum").is_some_and(|below| number <= below)
            || bound("exclusiveMaximum").is_some_and(|above| number >= above);
        if outside {
            let expected = range_words(schema, what);
            self.report(path, format!("expected {expected}, found {written}"), &expected, None);
        }
    }

    fn text(&mut self, text: &str, schema: &Json, path: &str) {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least) {
            self.report(path, "expected some text, found an empty string".to_owned(), "", None);
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|&most| length > most) {
            self.report(path, format!("expected at most {most} characters, found {length}"), "", None);
        }
    }

    fn word(&mut self, value: &Value, words: &[&str], path: &str) {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let expected = format!("one of {}", quoted.join(", "));
        match value {
            Value::String(text) if words.contains(&text.as_str()) => {}
            Value::String(text) => {
                let help = nearest(text, words.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
                self.report(path, format!("expected {expected}, found \"{text}\""), "", help);
            }
            other => self.wrong_type(path, &expected, other),
        }
    }

    fn wrong_type(&mut self, path: &str, expected: &str, found: &Value) {
        let found = match found {
            Value::String(text) => format!("the string \"{text}\""),
            Value::Integer(number) => format!("the integer {number}"),
            Value::Float(number) => format!("the number {}", short(*number)),
            Value::Boolean(value) => format!("{value}"),
            Value::Datetime(_) => "a date".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        };
        self.report(path, format!("expected {expected}, found {found}"), "", None);
    }
}

/// What to write instead of an unknown key.
fn advice(root: &Json, key: &str, parent: &str, properties: &serde_json::Map<String, Json>) -> String {
    let sections = root["properties"].as_object().into_iter().flatten();
    let keys_of = |schema| resolve(root, schema)["properties"].as_object().into_iter().flatten();
    let elsewhere = |wanted: &dyn Fn(&str) -> bool| {
        let mut found = sections.clone().filter(|(name, _)| *name != parent);
        found.find_map(|(name, schema)| {
            let key = keys_of(schema).map(|(key, _)| key.as_str()).find(|key| wanted(key))?;
            Some(format!("\"{key}\" belongs in [{name}]"))
        })
    };
    if let Some(advice) = elsewhere(&|candidate| candidate == key) {
        return advice;
    }
    if let Some(near) = nearest(key, properties.keys().map(String::as_str)) {
        return format!("did you mean \"{near}\"?");
    }
    if let Some(advice) = elsewhere(&|candidate| nearest(key, [candidate]).is_some()) {
        return advice;
    }
    let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
    format!("{} has: {}", section(parent), keys.join(", "))
}

/// Follows `$ref`, and takes the other half of "this or null".
fn resolve<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return &root["$defs"][name];
    }
    if schema["properties"].is_object() {
        return schema;
    }
    let not_null = |options: &'a Vec<Json>| options.iter().find(|option| option["type"] != "null");
    match schema["anyOf"].as_array().and_then(not_null) {
        Some(option) => resolve(root, option),
        None => schema,
    }
}

/// The type that a schema names, or the other half of "this or null".
fn kind(schema: &Json) -> Option<&str> {
    let several = || schema["type"].as_array()?.iter().filter_map(Json::as_str).find(|&kind| kind != "null");
    schema["type"].as_str().or_else(several)
}

/// The words of an enum's schema.
fn words(schema: &Json) -> Option<Vec<&str>> {
    let options = schema["oneOf"].as_array().map(|options| options.iter().map(|option| &option["const"]).collect());
    let options: Option<Vec<&Json>> = options.or_else(|| schema["enum"].as_array().map(|words| words.iter().collect()));
    options?.into_iter().map(Json::as_str).collect()
}

/// A number without hundreds of zeros.
fn short(number: f64) -> String {
    let plain = number == 0.0 || !number.is_finite() || (1e-6..1e15).contains(&number.abs());
    if plain { number.to_string() } else { format!("{number:e}") }
}

fn list_words(schema: &Json) -> String {
    match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(least), Some(most)) if least == most => format!("a list of {least} values"),
        (Some(least), _) => format!("a list of at least {least} values"),
        _ => "a list".to_owned(),
    }
}

/// `a number above 0 and at most 10`.
fn range_words(schema: &Json, what: &str) -> String {
    let bound = |key: &str| schema[key].as_f64();
    if let (Some(low), Some(high)) = (bound("minimum"), bound("maximum").filter(|&high| high < 1e18)) {
        return format!("{what} from {low} to {high}");
    }
    let low = bound("exclusiveMinimum").map(|low| format!("above {low}"));
    let low = low.or_else(|| bound("minimum").map(|low| format!("at least {low}")));
    let high = bound("exclusiveMaximum").map(|high| format!("below {high}"));
    let high = high.or_else(|| bound("maximum").filter(|&high| high < 1e18).map(|high| format!("at most {high}")));
    match (low, high) {
        (Some(low), Some(high)) => format!("{what} {low} and {high}"),
        (Some(one), None) | (None, Some(one)) => format!("{what} {one}"),
        (None, None) => what.to_owned(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn section(path: &str) -> String {
    if path.is_empty() { "the file".to_owned() } else { format!("[{path}]") }
}
