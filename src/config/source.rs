//! Where images come from: the value of `data.source`.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A source of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A folder that has a folder for each class, at any depth.
    Folder(PathBuf),
    /// A ZIP archive of such a folder.
    Zip(PathBuf),
    /// The built-in emoji with human sentiment.
    Emoji,
    /// The built-in drawn faces with planted label noise.
    Faces,
}

/// A source that begins with `builtin:` and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("There is no built-in data set `{0}`; there are builtin:emoji and builtin:faces.")]
pub struct UnknownBuiltin(pub String);

impl Source {
    /// What a user wrote, relative to `base`.
    ///
    /// # Errors
    /// [`UnknownBuiltin`] for a `builtin:` name that does not exist.
    pub fn parse(text: &str, base: &Path) -> Result<Self, UnknownBuiltin> {
        match text {
            "builtin:emoji" => return Ok(Self::Emoji),
            "builtin:faces" => return Ok(Self::Faces),
            _ if text.starts_with("builtin:") => return Err(UnknownBuiltin(text.to_owned())),
            _ => {}
        }
        let path = base.join(text);
        let is_zip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
        Ok(if is_zip && !path.is_dir() { Self::Zip(path) } else { Self::Folder(path) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Zip(path) => write!(f, "{}", path.display()),
            Self::Emoji => f.write_str("builtin:emoji"),
            Self::Faces => f.write_str("builtin:faces"),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = UnknownBuiltin;

    fn try_from(text: String) -> Result<Self, UnknownBuiltin> {
        Self::parse(&text, Path::new(""))
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl JsonSchema for Source {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}
