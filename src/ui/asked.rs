//! What a request asks: names in its path, pairs of its query, fields of its form.

use std::collections::HashMap;

use form_urlencoded::{Serializer, parse};

/// A request without its protocol.
#[derive(Debug, Default)]
pub struct Asked {
    names: HashMap<String, String>,
    pairs: Vec<(String, String)>,
    fields: Vec<(String, String)>,
}

impl Asked {
    /// From the path's names, the query and the form as they came.
    pub fn new(names: HashMap<String, String>, query: &str, form: &[u8]) -> Self {
        let pairs = |text: &[u8]| parse(text).into_owned().collect();
        Self { names, pairs: pairs(query.as_bytes()), fields: pairs(form) }
    }

    /// A part of the path.
    pub fn name(&self, name: &str) -> &str {
        self.names.get(name).map_or("", String::as_str)
    }

    /// A value of the query, the last of its key; empty without one.
    pub fn value(&self, key: &str) -> &str {
        self.pairs.iter().rfind(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// All values of a key.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A field of the form; empty without one.
    pub fn field(&self, key: &str) -> &str {
        self.fields.iter().rfind(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
}

/// A query of pairs.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}
