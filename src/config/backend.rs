//! The key `backend`: where the computation happens, and on which GPU.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::kinds::BackendKind;

/// GPUs that can be named, as `cuda:0` and so on.
const DEVICES: usize = 16;

/// A kind of backend, and a GPU where one is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Backend {
    /// What computes.
    pub kind: BackendKind,
    /// Number of the GPU; `None`: whichever is free.
    pub device: Option<usize>,
}

impl Backend {
    /// All words that the key may have.
    fn words() -> Vec<String> {
        let kinds = [BackendKind::Auto, BackendKind::Cpu, BackendKind::Cuda, BackendKind::Ndarray];
        let named = (0..DEVICES).map(|device| Self { kind: BackendKind::Cuda, device: Some(device) }.to_string());
        kinds.iter().map(ToString::to_string).chain(named).collect()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Some(device) => write!(f, "{}:{device}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl From<Backend> for String {
    fn from(backend: Backend) -> Self {
        backend.to_string()
    }
}

impl TryFrom<String> for Backend {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let kind = match text.split_once(':').map_or(text.as_str(), |(kind, _)| kind) {
            "auto" => BackendKind::Auto,
            "cpu" => BackendKind::Cpu,
            "cuda" => BackendKind::Cuda,
            "ndarray" => BackendKind::Ndarray,
            _ => return Err(format!("there is no backend \"{text}\"")),
        };
        match text.split_once(':').map(|(_, device)| device.parse()) {
            None => Ok(Self { kind, device: None }),
            Some(Ok(device)) if kind == BackendKind::Cuda && device < DEVICES => {
                Ok(Self { kind, device: Some(device) })
            }
            Some(_) => Err(format!("there is no backend \"{text}\"")),
        }
    }
}

impl JsonSchema for Backend {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Backend".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::words() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_backend_and_is_written_as_it_was_read() {
        for word in Backend::words() {
            assert_eq!(Backend::try_from(word.clone()).map(String::from), Ok(word));
        }
        for word in ["", "gpu", "cuda:", "cuda:x", "cuda:16", "cpu:0", "cuda:-1"] {
            assert!(Backend::try_from(word.to_owned()).is_err(), "{word}");
        }
    }
}
