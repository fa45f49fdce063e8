//! Exit codes, and errors on their way to one.

use std::io::{IsTerminal, Write};

use crate::config::ConfigError;
use crate::data::error::DataError;
use crate::report::tell;
use crate::schedule::coordinator::CoordinateError;
use crate::schedule::reconcile::ReconcileError;
use crate::store::StoreError;

/// A run failed or diverged, or something else went wrong.
pub const FAILED: u8 = 1;
/// The command line or an experiment file is wrong.
pub const USAGE: u8 = 2;
/// Data cannot be read.
pub const DATA: u8 = 3;
/// The store cannot be used.
pub const STORE: u8 = 4;
/// Stopped by Ctrl-C, everything saved.
pub const INTERRUPTED: u8 = 130;

/// A message for the user and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What to print on stderr; nothing when all is said already.
    pub message: Option<String>,
    /// Whether it is drawn already, with a heading and colours of its own.
    drawn: bool,
}

impl Failure {
    /// Everything is said; only the code is left.
    pub fn silent(code: u8) -> Self {
        Self { code, message: None, drawn: false }
    }

    /// A message with a code.
    pub fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self { code, message: Some(message.to_string()), drawn: false }
    }

    /// A mistake in a file, drawn where it is.
    pub fn drawn(message: String) -> Self {
        Self { code: USAGE, message: Some(message), drawn: true }
    }

    /// Something went wrong while running.
    pub fn run(error: impl std::fmt::Display) -> Self {
        Self::new(FAILED, error)
    }

    /// Prints the message the way the terminal can show it.
    pub fn print(&self) {
        if let Some(message) = &self.message {
            if self.drawn {
                let _ = writeln!(std::io::stderr().lock(), "{message}");
                return;
            }
            // Stopping on request is no error.
            let prefix = if self.code == INTERRUPTED { "" } else { "error: " };
            tell(format_args!("{prefix}{message}"));
        }
    }
}

/// Whether stderr shows colours.
pub fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::drawn(error.render(color()))
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let code = if matches!(error, DataError::Target(_) | DataError::Write { .. }) { FAILED } else { DATA };
        Self::new(code, error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::NoSuchRun(_) | StoreError::Ambiguous { .. } | StoreError::Expression { .. } => USAGE,
            _ => STORE,
        };
        Self::new(code, error)
    }
}

impl From<ReconcileError> for Failure {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Store(error) => error.into(),
            other => Self::new(STORE, other),
        }
    }
}

impl From<CoordinateError> for Failure {
    fn from(error: CoordinateError) -> Self {
        match error {
            CoordinateError::Store(error) => error.into(),
            CoordinateError::Folder { .. } => Self::new(STORE, error),
            CoordinateError::Worker(_) => Self::run(error),
        }
    }
}
