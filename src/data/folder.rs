//! A folder of images.
//!
//! Symbolic links are not followed, neither to files nor to folders: a data set is what lies in its folder, and nothing in
//! it can point elsewhere. They are counted, and a warning says how many there are.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{DataError, ItemError};
use super::layout::{Listing, has_image_extension, is_litter, most_similar};

/// Longest file that is read as an image, in bytes.
pub const MAX_FILE: u64 = 256 << 20;

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Looks through a folder and all below it.
    ///
    /// # Errors
    /// When it does not exist, is a file, or cannot be read.
    pub fn open(path: &Path) -> Result<(Self, Listing), DataError> {
        require_existing(path)?;
        let root = path.canonicalize().map_err(|error| unreadable(path, error))?;
        if !root.is_dir() {
            return Err(DataError::NotAFolder(path.to_owned()));
        }
        let mut listing = Listing::default();
        let mut waiting = vec![(root.clone(), String::new())];
        while let Some((folder, prefix)) = waiting.pop() {
            for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
                let entry = entry.map_err(|error| unreadable(&folder, error))?;
                let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), error))?;
                let Ok(name) = entry.file_name().into_string() else {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    // Beside the class folders and without an image's ending it is nothing that is missed.
                    if has_image_extension(&name) || kind.is_dir() && !prefix.is_empty() {
                        return Err(DataError::NotUtf8(entry.path()));
                    }
                    listing.litter += 1;
                    continue;
                };
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
                match kind {
                    _ if is_litter(&name) => listing.litter += 1,
                    kind if kind.is_symlink() => listing.links += 1,
                    kind if kind.is_dir() => {
                        waiting.push((entry.path(), path.clone()));
                        listing.folders.insert(path);
                    }
                    kind if kind.is_file() => listing.files.push(path),
                    _ => listing.litter += 1,
                }
            }
        }
        Ok((Self { root }, listing))
    }

    /// The folder itself, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes of a file of the listing.
    ///
    /// # Errors
    /// When it cannot be read or is longer than [`MAX_FILE`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ItemError> {
        let path = self.root.join(path);
        let failed = |error| ItemError::Fatal(unreadable(&path, error));
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut bytes = Vec::new();
        if length <= MAX_FILE {
            bytes.reserve_exact(length as usize + 1);
            // Not beyond the limit either when the file grows meanwhile.
            file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if length > MAX_FILE || bytes.len() as u64 > MAX_FILE {
            let mega = length >> 20;
            return Err(ItemError::Damaged(format!(
                "The file has {mega} MiB; at most {} are allowed.",
                MAX_FILE >> 20
            )));
        }
        Ok(bytes)
    }
}

/// An error with a suggestion when there is nothing at `path`.
pub fn require_existing(path: &Path) -> Result<(), DataError> {
    match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = similar_path(path).map(|similar| format!(" Did you mean \"{}\"?", similar.display()));
            Err(DataError::NotFound { path: path.to_owned(), hint: hint.unwrap_or_default() })
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

fn similar_path(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names: Vec<String> =
        fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let similar = most_similar(wanted, names.iter().map(String::as_str))?;
    Some(path.with_file_name(similar))
}

pub(super) fn unreadable(path: &Path, error: io::Error) -> DataError {
    DataError::Unreadable { path: path.to_owned(), error }
}
