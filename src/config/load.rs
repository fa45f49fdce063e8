//! From a file and overrides to a checked experiment.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::check::check;
use super::document::Document;
use super::error::{ConfigError, Place, Problem};
use super::experiment::Experiment;
use super::kinds::OptimizerKind;
use super::source::Source;
use super::suggest::nearest;

/// A checked experiment and where its keys stand.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The experiment.
    pub experiment: Experiment,
    /// For problems that show only later.
    pub document: Document,
}

/// Reads an experiment file and applies `key=value` overrides, later ones last.
///
/// Paths in the file start at the file's folder, paths in overrides at the working directory.
///
/// # Errors
/// [`ConfigError`] with every problem of the file, or why it cannot be read.
pub fn load(path: &Path, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| {
        let help = if path.is_dir() { "this is a folder; name one of the files in it" } else { "check the path" };
        ConfigError::unreadable(path, format!("the experiment file cannot be read: {error}"), Some(help.to_owned()))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let help = "save the file as UTF-8".to_owned();
        ConfigError::unreadable(path, format!("the experiment file is not UTF-8 text, at byte {at}"), Some(help))
    })?;
    let base = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    parse(&text, path, &base, overrides)
}

/// Checks the text of an experiment file; `base` is where its relative paths start.
///
/// # Errors
/// [`ConfigError`] with every problem.
pub fn parse(text: &str, path: &Path, base: &Path, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let spans = DeTable::parse(text).map_err(|error| syntax(path, text, &error))?;
    let mut document = Document::new(path, text, Some(spans.get_ref()));
    let mut table: toml::Table = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
    for typed in overrides {
        apply(&mut table, typed, &mut document)?;
    }
    let mut problems = check(&table, &schema(), &document);
    if problems.is_empty() {
        problems = cross_check(&table, &document);
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| match &problem.place {
            Place::File { span, .. } => (0, span.start),
            _ => (1, 0),
        });
        return Err(ConfigError::new(problems));
    }
    // The schema and the types agree, so this cannot fail but through a bug; it is still no panic.
    let experiment: Experiment =
        table.try_into().map_err(|error: toml::de::Error| document.problem("", error.message().to_owned(), None))?;
    finish(experiment, path, base, document)
}

fn finish(mut experiment: Experiment, path: &Path, base: &Path, document: Document) -> Result<Loaded, ConfigError> {
    if experiment.name.is_empty() {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        experiment.name = stem.filter(|stem| !stem.is_empty()).unwrap_or_else(|| "experiment".to_owned());
    }
    let typed = document.is_override("data.source");
    experiment.resolve_source(if typed { Path::new("") } else { base });
    Ok(Loaded { experiment, document })
}

/// JSON Schema (2020-12) of the experiment file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Experiment).to_value()
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let document = Document::new(path, text, None);
    ConfigError::new(vec![Problem {
        key: String::new(),
        message: format!("this is not TOML: {}", error.message().replace('\n', ", ")),
        label: String::new(),
        help: None,
        place: document.span_place(error.span().unwrap_or(0..0)),
    }])
}

/// Puts `key=value` into the table. A value that is not TOML is a string.
fn apply(table: &mut toml::Table, typed: &str, document: &mut Document) -> Result<(), ConfigError> {
    let problem = |message: &str, help: &str| {
        let place = Place::Override { typed: typed.to_owned() };
        let (message, help) = (message.to_owned(), Some(help.to_owned()));
        ConfigError::new(vec![Problem { key: String::new(), message, label: String::new(), help, place }])
    };
    let Some((key, value)) = typed.split_once('=') else {
        return Err(problem("an override is written key=value", "for example --set train.epochs=3"));
    };
    let (key, value) = (key.trim(), value.trim());
    if key.split('.').any(str::is_empty) {
        return Err(problem("the key of an override is empty", "for example --set train.epochs=3"));
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (sections, last) = key.rsplit_once('.').map_or((None, key), |(sections, last)| (Some(sections), last));
    let mut target = table;
    for section in sections.into_iter().flat_map(|sections| sections.split('.')) {
        let entry = target.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        target = match entry {
            toml::Value::Table(table) => table,
            _ => return Err(problem(&format!("\"{section}\" is not a section"), "name a section and a key in it")),
        };
    }
    target.insert(last.to_owned(), value);
    document.add_override(key, typed);
    Ok(())
}

/// What the schema cannot say: values that depend on each other.
fn cross_check(table: &toml::Table, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |key: &str, message: &str, help: Option<String>| {
        let place = document.value_place(key);
        let (key, message) = (key.to_owned(), message.to_owned());
        problems.push(Problem { key, message, label: String::new(), help, place });
    };
    let Ok(experiment) = table.clone().try_into::<Experiment>() else {
        return source_problem(table, document).into_iter().collect();
    };
    if experiment.name.chars().any(char::is_control) {
        report("name", "a name has no control characters", None);
    }
    let [zero, one] = experiment.data.classes();
    if zero == one {
        report("data.classes", "expected two different classes", None);
    }
    for (index, class) in [zero, one].into_iter().enumerate() {
        if class.contains(['/', '\\']) || class == "." || class == ".." {
            report(&format!("data.classes[{index}]"), "expected the name of a folder, without a path", None);
        }
    }
    let train = &experiment.train;
    if train.early_stopping.is_some() && experiment.split.validation == 0.0 {
        let help = "set split.validation, for example to 0.2; the test set is never used for stopping".to_owned();
        report("train.early_stopping", "early stopping needs a validation set", Some(help));
    }
    if train.weight_decay > 0.0 && train.optimizer == OptimizerKind::Adam {
        let help = "use optimizer = \"adamw\", whose weight decay is well defined".to_owned();
        report("train.weight_decay", "adam has no weight decay", Some(help));
    }
    problems
}

/// The one value whose type refuses some strings: an unknown built-in data set.
fn source_problem(table: &toml::Table, document: &Document) -> Option<Problem> {
    let source = table.get("data")?.get("source")?.as_str()?;
    let error = Source::parse(source, Path::new("")).err()?;
    let near = nearest(&error.0, ["builtin:emoji", "builtin:faces"]);
    Some(Problem {
        key: "data.source".to_owned(),
        message: format!("there is no built-in data set \"{source}\"; there are builtin:emoji and builtin:faces"),
        label: String::new(),
        help: near.map(|near| format!("did you mean \"{near}\"?")),
        place: document.value_place("data.source"),
    })
}
