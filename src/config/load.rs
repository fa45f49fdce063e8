//! From a file and overrides to a checked experiment.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value as Json;
use toml::de::DeTable;

use super::check::check;
use super::document::Document;
use super::error::{ConfigError, Place, Problem};
use super::experiment::Experiment;
use super::kinds::OptimizerKind;
use super::source::Source;
use super::suggest::nearest;
use super::sweep::Sweep;
use super::sweep_file::SweepFile;
use super::units::{parse_size, parse_time};

/// Largest experiment file, in bytes.
const LARGEST: u64 = 16 << 20;

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
/// [`ConfigError`] with every problem of the file, or why it cannot be read. A file that means several runs is one.
pub fn load(path: &Path, overrides: &[String]) -> Result<Loaded, ConfigError> {
    single(gather(&read(path)?, path, overrides)?)
}

/// Checks the text of an experiment file; relative paths start at the folder of `path`.
///
/// # Errors
/// [`ConfigError`] with every problem.
pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Loaded, ConfigError> {
    single(gather(text, path, overrides)?)
}

/// Reads an experiment file that may mean many runs: it may have `[sweep]` and `split.folds`.
///
/// # Errors
/// [`ConfigError`] with every problem of the file, or why it cannot be read.
pub fn load_sweep(path: &Path, overrides: &[String]) -> Result<SweepFile, ConfigError> {
    SweepFile::new(gather(&read(path)?, path, overrides)?)
}

/// A file's values after `extends` and overrides, held against the schema, and where they stand.
pub(super) struct Gathered {
    pub(super) table: toml::Table,
    pub(super) document: Document,
    pub(super) path: PathBuf,
}

pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let bytes = bounded(path).map_err(|error| {
        let help = if path.is_dir() { "this is a folder; name one of the files in it" } else { "check the path" };
        ConfigError::unreadable(path, format!("the experiment file cannot be read: {error}"), Some(help.to_owned()))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let help = "save the file as UTF-8".to_owned();
        ConfigError::unreadable(path, format!("the experiment file is not UTF-8 text, at byte {at}"), Some(help))
    })
}

/// Bytes of an experiment file; more than [`LARGEST`] are not read.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}

fn gather(text: &str, path: &Path, overrides: &[String]) -> Result<Gathered, ConfigError> {
    let (mut table, mut document) = extended(text, path, &mut Vec::new())?;
    for typed in overrides {
        apply(&mut table, typed, &mut document)?;
    }
    zip_of_one_group(&mut table);
    let problems = check(&table, schema(), &document);
    if problems.is_empty() { Ok(Gathered { table, document, path: path.to_owned() }) } else { Err(sorted(problems)) }
}

/// `zip = ["a", "b"]` is short for `zip = [["a", "b"]]`.
fn zip_of_one_group(table: &mut toml::Table) {
    let zip = table.get_mut("sweep").and_then(|sweep| sweep.get_mut("zip"));
    if let Some(toml::Value::Array(items)) = zip
        && !items.is_empty()
        && items.iter().all(toml::Value::is_str)
    {
        *items = vec![toml::Value::Array(std::mem::take(items))];
    }
}

/// A file's table with what it extends filled in. `children` are the files that lead here.
fn extended(text: &str, path: &Path, children: &mut Vec<PathBuf>) -> Result<(toml::Table, Document), ConfigError> {
    let spans = DeTable::parse(text).map_err(|error| syntax(path, text, &error))?;
    let mut document = Document::new(path, text, Some(spans.get_ref()));
    let mut table: toml::Table = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
    let Some(name) = table.get("extends").and_then(toml::Value::as_str) else { return Ok((table, document)) };
    let base = path.parent().map_or_else(PathBuf::new, Path::to_owned).join(name);
    children.push(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    if children.contains(&std::path::absolute(&base).unwrap_or_else(|_| base.clone())) {
        let message = format!("\"{name}\" extends this file, which extends it");
        return Err(document.problem("extends", message, Some("break the circle".to_owned())));
    }
    let text = read(&base).map_err(|error| {
        let reason = error.problems().first().map(|problem| problem.message.clone()).unwrap_or_default();
        let help = Some(format!("the path starts at the file's folder: {}", base.display()));
        document.problem("extends", format!("\"{name}\": {reason}"), help)
    })?;
    let (mut parent, parent_document) = extended(&text, &base, children)?;
    for own in ["extends", "name", "description", "tags", "sweep"] {
        parent.remove(own);
    }
    rebase_source(&mut parent, &base);
    fill_in(&mut table, parent);
    table.remove("extends");
    document.set_parent(parent_document);
    Ok((table, document))
}

/// A relative `data.source` starts at the folder of the file that says it.
fn rebase_source(table: &mut toml::Table, path: &Path) {
    let source = table.get_mut("data").and_then(|data| data.get_mut("source"));
    if let Some(toml::Value::String(source)) = source
        && !source.starts_with("builtin:")
    {
        let joined = path.parent().unwrap_or(Path::new("")).join(&*source);
        *source = std::path::absolute(&joined).unwrap_or(joined).to_string_lossy().into_owned();
    }
}

/// Takes over what `table` does not say itself, key by key.
fn fill_in(table: &mut toml::Table, parent: toml::Table) {
    for (key, value) in parent {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(own)), toml::Value::Table(inherited)) => fill_in(own, inherited),
            (Some(_), _) => {}
            (None, value) => {
                table.insert(key, value);
            }
        }
    }
}

fn single(gathered: Gathered) -> Result<Loaded, ConfigError> {
    let Gathered { table, document, path } = gathered;
    if table.contains_key("sweep") {
        let help = "use `emo-runner sweep`, which does all of them".to_owned();
        return Err(document.problem("sweep", "a file with [sweep] means several runs".to_owned(), Some(help)));
    }
    let experiment = resolve(table, &path, &document).map_err(sorted)?;
    if experiment.split.folds > 0 && experiment.split.fold == 0 {
        let help = "use `emo-runner sweep`, which does all of them, or choose one with --set split.fold=1".to_owned();
        let message = format!("cross-validation means {} runs", experiment.split.folds);
        return Err(document.problem("split.folds", message, Some(help)));
    }
    Ok(Loaded { experiment, document })
}

/// The experiment of a table that fits the schema, or what is wrong with its values together.
pub(super) fn resolve(table: toml::Table, path: &Path, document: &Document) -> Result<Experiment, Vec<Problem>> {
    if let Some(problem) = source_problem(&table, document) {
        return Err(vec![problem]);
    }
    // The schema and the types agree, so this cannot fail but through a bug; it is still no panic.
    let mut experiment: Experiment = table.try_into().map_err(|error: toml::de::Error| {
        let place = document.value_place("");
        let message = error.message().to_owned();
        vec![Problem { key: String::new(), message, label: String::new(), help: None, place }]
    })?;
    let problems = cross_check(&experiment, document);
    if !problems.is_empty() {
        return Err(problems);
    }
    if experiment.name.is_empty() {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        experiment.name = stem.filter(|stem| !stem.is_empty()).unwrap_or_else(|| "experiment".to_owned());
    }
    let typed = document.is_override("data.source");
    experiment.resolve_source(if typed { Path::new("") } else { path.parent().unwrap_or(Path::new("")) });
    Ok(experiment)
}

pub(super) fn sorted(mut problems: Vec<Problem>) -> ConfigError {
    problems.sort_by_key(|problem| match &problem.place {
        Place::File { span, .. } => (0, span.start),
        _ => (1, 0),
    });
    ConfigError::new(problems)
}

/// JSON Schema (2020-12) of the experiment file.
pub fn schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut file = schemars::schema_for!(Experiment).to_value();
        let mut sweep = schemars::schema_for!(Sweep).to_value();
        if let (Some(all), Some(defs)) = (file["$defs"].as_object_mut(), sweep["$defs"].as_object_mut()) {
            all.append(defs);
        }
        if let Some(sweep) = sweep.as_object_mut() {
            sweep.remove("$defs");
            sweep.remove("$schema");
        }
        file["properties"]["sweep"] = sweep;
        file["properties"]["extends"] = serde_json::json!({
            "type": "string",
            "minLength": 1,
            "description": "Another experiment file, relative to this one: what is not said here is as there, but for name, \
                            description, tags and [sweep]."
        });
        // A file that extends another may leave [data] to it.
        file["required"] = serde_json::json!([]);
        file["anyOf"] = serde_json::json!([{ "required": ["data"] }, { "required": ["extends"] }]);
        file
    })
}

pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let document = Document::new(path, text, None);
    // The parser's words for a number that is too large name its own types.
    let (message, help) = if error.message().contains("as i128") {
        let help = "whole numbers go up to 9223372036854775807".to_owned();
        ("the number is too large".to_owned(), Some(help))
    } else {
        (format!("this is not TOML: {}", error.message().replace('\n', ", ")), None)
    };
    ConfigError::new(vec![Problem {
        key: String::new(),
        message,
        label: String::new(),
        help,
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
    if key == "extends" {
        return Err(problem("an override sets one key", "write `extends` into the file, or name the other file"));
    }
    if key.split('.').any(str::is_empty) {
        return Err(problem("the key of an override is empty", "for example --set train.epochs=3"));
    }
    let mut parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).unwrap_or_default();
    if parsed.len() > 1 {
        return Err(problem("an override sets one key", "give --set several times"));
    }
    let parsed = parsed.remove("value");
    let digits = value.trim_start_matches(['+', '-']);
    if parsed.is_none() && digits.len() > 18 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(problem("the number is too large", "whole numbers go up to 9223372036854775807"));
    }
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
fn cross_check(experiment: &Experiment, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |key: &str, message: &str, help: Option<String>| {
        let place = document.value_place(key);
        let (key, message) = (key.to_owned(), message.to_owned());
        problems.push(Problem { key, message, label: String::new(), help, place });
    };
    if experiment.name.chars().any(char::is_control) {
        report("name", "a name has no control characters", None);
    }
    let [zero, one] = experiment.data.classes();
    if zero == one {
        report("data.classes", "expected two different classes", None);
    }
    for (index, class) in [zero, one].into_iter().enumerate() {
        if class.contains(['/', '\\']) || class.chars().any(char::is_control) || class == "." || class == ".." {
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
    let resources = &experiment.resources;
    let memory = resources.memory.as_deref().and_then(|size| parse_size(size).err());
    let time = resources.time.as_deref().and_then(|time| parse_time(time).err());
    for (key, problem) in [("resources.memory", memory), ("resources.time", time)] {
        if let Some(problem) = problem {
            report(key, &problem, None);
        }
    }
    let split = &experiment.split;
    if split.folds == 1 {
        report("split.folds", "expected 0 for no cross-validation, or at least 2 folds", None);
    }
    if split.fold > split.folds {
        report("split.fold", &format!("expected a fold from 1 to split.folds = {}", split.folds), None);
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
