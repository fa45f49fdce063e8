//! Problems of an experiment file, shown where they are.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Everything that is wrong with an experiment file; at least one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Path of the key, such as `train.epochs`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what was expected, in one sentence without a full stop.
    pub message: String,
    /// A few words under the marked text.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// Where.
    pub place: Place,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// In the file.
    File {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// Bytes of the text.
        span: Range<usize>,
    },
    /// On the command line, in a `--set`.
    Override {
        /// `key=value` as typed.
        typed: String,
    },
    /// The file as a whole: it cannot be read.
    Whole {
        /// The file.
        path: PathBuf,
    },
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    pub(super) fn unreadable(path: &Path, message: String, help: Option<String>) -> Self {
        let place = Place::Whole { path: path.to_owned() };
        Self::new(vec![Problem { key: String::new(), message, label: String::new(), help, place }])
    }

    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problems with the lines they are in, in the style of rustc, in colour if wanted.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let texts: Vec<String> = self.problems.iter().map(|problem| problem.render(&renderer)).collect();
        texts.join("\n\n")
    }
}

impl Problem {
    fn render(&self, renderer: &Renderer) -> String {
        let (path, text, span) = match &self.place {
            Place::File { path, text, span } => (path.display().to_string(), text.clone(), span.clone()),
            Place::Override { typed } => ("--set".to_owned(), typed.clone(), 0..typed.len()),
            Place::Whole { path } => (path.display().to_string(), String::new(), 0..0),
        };
        let title = Level::ERROR.primary_title(self.message.clone());
        let group = if text.is_empty() {
            title.element(annotate_snippets::Origin::path(path))
        } else {
            let mark = AnnotationKind::Primary.span(span);
            let mark = if self.label.is_empty() { mark } else { mark.label(self.label.clone()) };
            title.element(Snippet::source(text).path(path).annotation(mark))
        };
        let group = match &self.help {
            Some(help) => group.element(Level::HELP.message(help.clone())),
            None => group,
        };
        renderer.render(&[group]).to_string()
    }

    /// Line and column, from 1, of a place in the file.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        let Place::File { text, span, .. } = &self.place else { return None };
        let before = &text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.line_and_column()) {
            (Place::File { path, .. }, Some((line, column))) => write!(f, "{}:{line}:{column}: ", path.display())?,
            (Place::Override { typed }, _) => write!(f, "--set {typed}: ")?,
            (Place::Whole { path } | Place::File { path, .. }, _) => write!(f, "{}: ", path.display())?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}
