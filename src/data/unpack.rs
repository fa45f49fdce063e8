//! Writes a source, or its split, as plain folders for other programs.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::cache::Dataset;
use super::error::{DataError, ItemError};
use super::source::OpenSource;
use super::split::Split;

/// Longest file name that is written, in bytes: file systems end at 255, and a number may have to be added.
const MAX_NAME: usize = 200;

/// Writes every file as `to/<class>/<file>`, with its own bytes, and returns how many. Entries of an archive that cannot
/// be unpacked are left out with a warning.
///
/// # Errors
/// When `to` exists and is not an empty folder, or when something cannot be read or written.
pub fn unpack(source: &OpenSource, to: &Path) -> Result<usize, DataError> {
    let mut target = Target::new(source, to)?;
    for item in 0..source.items().len() {
        target.add(item, "");
    }
    target.write()
}

/// Writes the training set as `to/train/<class>/<file>`, the test set as `to/valid/...`, as the tutorial's `prepare_data`
/// names them, and the validation set, if there is one, as `to/validation/...`. Returns the number of files.
///
/// # Errors
/// As [`unpack`]; also when `dataset` is not of this source.
pub fn write_split(source: &OpenSource, dataset: &Dataset, split: &Split, to: &Path) -> Result<usize, DataError> {
    let mut target = Target::new(source, to)?;
    for (part, images) in [("train", &split.train), ("valid", &split.test), ("validation", &split.validation)] {
        for &image in images {
            // Items are sorted; a data set lacks the broken ones, so its indices are others.
            let wanted = (dataset.label(image), dataset.name(image));
            let item = source.items().binary_search_by(|item| (item.class, item.name.as_str()).cmp(&wanted));
            target.add(item.map_err(|_| DataError::Unknown(wanted.1.to_owned()))?, part);
        }
    }
    target.write()
}

/// Files to be written.
struct Target<'a> {
    source: &'a OpenSource,
    to: &'a Path,
    files: Vec<(usize, PathBuf)>,
    /// Paths in lower case, as file systems that do not tell cases apart see them.
    taken: HashSet<String>,
}

impl<'a> Target<'a> {
    fn new(source: &'a OpenSource, to: &'a Path) -> Result<Self, DataError> {
        let free = match fs::read_dir(to) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !free {
            return Err(DataError::Target(to.to_owned()));
        }
        Ok(Self { source, to, files: Vec::new(), taken: HashSet::new() })
    }

    /// Plans a file. Two that would get the same name get different ones: "a.jpg", "a (2).jpg".
    fn add(&mut self, item: usize, part: &str) {
        let item_of = &self.source.items()[item];
        let class = safe_name(&self.source.classes()[item_of.class]);
        let name = safe_name(item_of.name.rsplit('/').next().unwrap_or_default());
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name.as_str(), String::new()),
        };
        let mut file = Path::new(part).join(&class).join(&name);
        let mut number = 2;
        while !self.taken.insert(file.to_string_lossy().to_lowercase()) {
            file.set_file_name(format!("{stem} ({number}){extension}"));
            number += 1;
        }
        self.files.push((item, file));
    }

    fn write(self) -> Result<usize, DataError> {
        let folders: HashSet<&Path> = self.files.iter().filter_map(|(_, file)| file.parent()).collect();
        for folder in folders {
            let folder = self.to.join(folder);
            fs::create_dir_all(&folder).map_err(|error| DataError::Write { path: folder, error })?;
        }
        let written = AtomicUsize::new(0);
        self.files.par_iter().try_for_each(|(item, file)| {
            let bytes = match self.source.read(*item) {
                Ok(bytes) => bytes,
                Err(ItemError::Damaged(reason)) => {
                    tracing::warn!(file = self.source.items()[*item].name, reason, "left out");
                    return Ok(());
                }
                Err(ItemError::Fatal(error)) => return Err(error),
            };
            let path = self.to.join(file);
            let result = File::create_new(&path).and_then(|mut out| out.write_all(&bytes));
            result.map_err(|error| DataError::Write { path, error })?;
            written.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(written.into_inner())
    }
}

/// A file name that is one on every system and leads nowhere else.
fn safe_name(name: &str) -> String {
    let safe = |c: char| if c.is_control() || r#"/\:*?"<>|"#.contains(c) { '_' } else { c };
    let name: String = name.chars().map(safe).collect();
    let name = name.trim_start().trim_end_matches([' ', '.']);
    if name.is_empty() {
        return "_".to_owned();
    }
    let (stem, extension) = name.rsplit_once('.').map_or((name, ""), |(stem, _)| (stem, &name[stem.len()..]));
    if name.len() <= MAX_NAME || extension.len() > MAX_NAME / 2 {
        return shortened(name, MAX_NAME).to_owned();
    }
    format!("{}{extension}", shortened(stem, MAX_NAME - extension.len()))
}

/// The beginning of `text` in at most `length` bytes.
fn shortened(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        assert_eq!(safe_name("10014 copy.jpg"), "10014 copy.jpg");
        assert_eq!(safe_name(".."), "_");
        assert_eq!(safe_name("a/../b:c\u{0}.png"), "a_.._b_c_.png");
        assert_eq!(safe_name("x. . "), "x");
        assert_eq!(safe_name("grinning 😀.png"), "grinning 😀.png");
    }

    #[test]
    fn long_names_keep_their_ending() {
        let long = safe_name(&format!("{}.jpeg", "ä".repeat(300)));
        assert!(long.len() <= MAX_NAME && long.ends_with("ä.jpeg"));
        assert!(safe_name(&format!("x.{}", "y".repeat(300))).len() <= MAX_NAME);
    }
}
