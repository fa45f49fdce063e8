//! Where every key of a file stands, so that a problem can be shown at its place.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, Problem};

/// The bytes of a key and of its value.
type Places = (Range<usize>, Range<usize>);

/// A file's text and the places of its keys, and the overrides from the command line.
#[derive(Debug, Clone)]
pub struct Document {
    path: PathBuf,
    text: String,
    /// Key path such as `train.epochs` or `model.conv[0]` to the bytes of its key and its value.
    places: HashMap<String, Places>,
    /// Key path to the override as typed.
    overrides: HashMap<String, String>,
    /// The document that this one extends.
    parent: Option<Box<Document>>,
}

impl Document {
    /// The places of a parsed text.
    pub(super) fn new(path: &Path, text: &str, table: Option<&DeTable<'_>>) -> Self {
        let mut places = HashMap::new();
        if let Some(table) = table {
            walk_table(table, "", &mut places);
        }
        Self { path: path.to_owned(), text: text.to_owned(), places, overrides: HashMap::new(), parent: None }
    }

    /// Keys that are not here may be there.
    pub(super) fn set_parent(&mut self, parent: Document) {
        self.parent = Some(Box::new(parent));
    }

    /// Where a key begins in this file: for its order among others. Keys from elsewhere come last.
    pub(super) fn position(&self, key: &str) -> usize {
        self.places.get(key).map_or(usize::MAX, |(key, _)| key.start)
    }

    pub(super) fn add_override(&mut self, key: &str, typed: &str) {
        self.overrides.insert(key.to_owned(), typed.to_owned());
    }

    /// Whether `key`, or a section that it is in, comes from the command line.
    pub(super) fn is_override(&self, key: &str) -> bool {
        self.override_of(key).is_some()
    }

    fn override_of(&self, key: &str) -> Option<&String> {
        ancestors(key).find_map(|key| self.overrides.get(key))
    }

    /// The place of a key's value, or of the nearest section around it.
    pub(super) fn value_place(&self, key: &str) -> Place {
        self.place(key, |(_, value)| value.clone())
    }

    /// The place of a key itself.
    pub(super) fn key_place(&self, key: &str) -> Place {
        self.place(key, |(key, _)| key.clone())
    }

    /// A place in the file by its bytes.
    pub(super) fn span_place(&self, span: Range<usize>) -> Place {
        Place::File { path: self.path.clone(), text: self.text.clone(), span: clamp(span, self.text.len()) }
    }

    fn place(&self, key: &str, pick: fn(&Places) -> Range<usize>) -> Place {
        if let Some(typed) = self.override_of(key) {
            return Place::Override { typed: typed.clone() };
        }
        if let (false, Some(parent)) = (self.places.contains_key(key), self.holder(key)) {
            return parent.place(key, pick);
        }
        let exact = self.places.get(key).map(pick);
        let around = || ancestors(key).skip(1).find_map(|key| self.places.get(key)).map(|(key, _)| key.clone());
        let first_line = 0..self.text.lines().next().map_or(0, str::len);
        self.span_place(exact.or_else(around).unwrap_or(first_line))
    }

    /// The nearest of the extended documents that has a key.
    fn holder(&self, key: &str) -> Option<&Self> {
        let parent = self.parent.as_deref()?;
        if parent.places.contains_key(key) { Some(parent) } else { parent.holder(key) }
    }

    /// One problem at a key, found after loading: a network that does not fit the images, say.
    pub fn problem(&self, key: &str, message: String, help: Option<String>) -> ConfigError {
        let place = self.value_place(key);
        ConfigError::new(vec![Problem { key: key.to_owned(), message, label: String::new(), help, place }])
    }
}

fn clamp(span: Range<usize>, length: usize) -> Range<usize> {
    let start = span.start.min(length);
    start..span.end.clamp(start, length)
}

/// `model.conv[0]`, `model.conv`, `model`.
fn ancestors(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rfind(['.', '[']).map(|end| &key[..end]))
}

fn walk_table(table: &DeTable<'_>, prefix: &str, places: &mut HashMap<String, Places>) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        places.insert(path.clone(), (key.span(), value.span()));
        walk_value(value, &path, places);
    }
}

fn walk_value(value: &Spanned<DeValue<'_>>, path: &str, places: &mut HashMap<String, Places>) {
    match value.get_ref() {
        DeValue::Table(table) => walk_table(table, path, places),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                places.insert(path.clone(), (item.span(), item.span()));
                walk_value(item, &path, places);
            }
        }
        _ => {}
    }
}
