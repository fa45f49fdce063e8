//! What identifies a data set: a hash over class, name and content of every image.
//!
//! Contents are hashed once; a memo in the cache folder remembers the hash of each file with its size and times. A file
//! that may have changed within the clock's resolution after it was hashed is hashed again (what git calls racily clean).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::{DataError, ItemError};
use super::source::{Bytes, OpenSource};
use super::synthesize::Settings;

/// Part of the fingerprint of the drawn faces: raise it when the same settings draw other pictures.
const FACES_VERSION: u32 = 3;
const MEMO_VERSION: u32 = 1;
/// A file that changed so shortly before it was hashed may have changed again since without showing it: 2 s, the
/// coarsest time that a common file system keeps.
const RACY: i64 = 2_000_000_000;

/// Identity of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(super) blake3::Hash);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

/// Hashes of a source.
#[derive(Debug, Clone)]
pub(super) struct Hashes {
    pub(super) fingerprint: Fingerprint,
    /// Content hash of each item; `None` for the drawn faces, which are known without drawing them.
    pub(super) items: Option<Vec<blake3::Hash>>,
}

impl OpenSource {
    pub(super) fn hashes(&self, cache_dir: Option<&Path>) -> Result<&Hashes, DataError> {
        if let Some(hashes) = self.hashes.get() {
            return Ok(hashes);
        }
        let hashes = match &self.bytes {
            Bytes::Faces(_) => Hashes { fingerprint: faces(&Settings::BUILTIN_FACES), items: None },
            _ => {
                let items = self.hash_items(cache_dir)?;
                Hashes { fingerprint: combine(self, &items), items: Some(items) }
            }
        };
        Ok(self.hashes.get_or_init(|| hashes))
    }

    fn hash_items(&self, cache_dir: Option<&Path>) -> Result<Vec<blake3::Hash>, DataError> {
        let memo_file = cache_dir.and_then(|folder| memo_file(self, folder));
        let known = memo_file.as_deref().and_then(Memo::read).unwrap_or_default();
        let taken = now();
        let archive = match &self.bytes {
            Bytes::Zip(archive, _) => archive.metadata().ok().map(|metadata| Stamp::of(&metadata)),
            _ => None,
        };
        let hashed = (0..self.items().len()).into_par_iter().map(|item| {
            let stamp = match &self.bytes {
                Bytes::Folder(folder, paths) => {
                    // Where there is nothing to ask, reading will say why.
                    fs::metadata(folder.root().join(&paths[item])).ok().map(|metadata| Stamp::of(&metadata))
                }
                _ => archive,
            };
            let remembered = stamp.and_then(|stamp| known.hash(self.path(item), stamp));
            let hash = match remembered {
                Some(hash) => hash,
                None => match self.read(item) {
                    Ok(bytes) => blake3::hash(&bytes),
                    Err(ItemError::Damaged(_)) => unusable(),
                    Err(ItemError::Fatal(error)) => return Err(error),
                },
            };
            Ok((stamp, hash, remembered.is_some()))
        });
        let hashed: Vec<_> = hashed.collect::<Result<_, DataError>>()?;
        if let Some(file) = memo_file
            && hashed.iter().any(|(.., remembered)| !remembered)
        {
            let entries = hashed.iter().enumerate().filter_map(|(item, &(stamp, hash, _))| {
                Some((self.path(item).to_owned(), (stamp?, hash.to_hex().to_string())))
            });
            Memo { version: MEMO_VERSION, taken, entries: entries.collect() }.write(&file);
        }
        Ok(hashed.into_iter().map(|(_, hash, _)| hash).collect())
    }

    /// Path of an item within the folder or archive, unlike its name whichever the classes are.
    fn path(&self, item: usize) -> &str {
        match &self.bytes {
            Bytes::Folder(_, paths) => &paths[item],
            Bytes::Zip(_, paths) => &paths[item].0,
            Bytes::Emoji(_) | Bytes::Faces(_) => &self.items()[item].name,
        }
    }
}

/// Stands for the content of a file that has none: a damaged entry or one far too large.
fn unusable() -> blake3::Hash {
    blake3::hash(b"emo-runner: an item without usable content")
}

fn faces(settings: &Settings) -> Fingerprint {
    let mut hasher = blake3::Hasher::new_derive_key("emo-runner 2026 fingerprint of drawn faces");
    hasher.update(format!("{FACES_VERSION} {settings:?}").as_bytes());
    Fingerprint(hasher.finalize())
}

fn combine(source: &OpenSource, hashes: &[blake3::Hash]) -> Fingerprint {
    let mut hasher = blake3::Hasher::new_derive_key("emo-runner 2026 fingerprint of a data set");
    for (item, hash) in source.items().iter().zip(hashes) {
        hasher.update(&(item.class as u64).to_le_bytes());
        hasher.update(&(item.name.len() as u64).to_le_bytes());
        hasher.update(item.name.as_bytes());
        hasher.update(hash.as_bytes());
    }
    Fingerprint(hasher.finalize())
}

/// By which a file is recognised as unchanged. The change time also moves when the modification time is set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    changed: i64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        let time = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
        Self {
            size: metadata.len(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Hashes of the files of one source, as they were at a time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memo {
    version: u32,
    /// When hashing began, in nanoseconds since 1970.
    taken: i64,
    /// By path in the source. For an archive the stamp is the archive's.
    entries: BTreeMap<String, (Stamp, String)>,
}

impl Memo {
    /// `None` for a file that is missing, broken or of another version: it will be written anew.
    fn read(file: &Path) -> Option<Self> {
        let memo: Self = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        (memo.version == MEMO_VERSION).then_some(memo)
    }

    fn hash(&self, path: &str, stamp: Stamp) -> Option<blake3::Hash> {
        let (known, hash) = self.entries.get(path)?;
        let settled = stamp.modified.max(stamp.changed) < self.taken - RACY;
        if *known == stamp && settled { blake3::Hash::from_hex(hash).ok() } else { None }
    }

    /// The memo only saves time, so a failure is worth a warning and no more.
    fn write(&self, file: &Path) {
        let written = || -> std::io::Result<()> {
            let folder = file.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let temporary = file.with_extension(format!("json.{}-{}", std::process::id(), now()));
            let result = fs::File::create(&temporary)
                .and_then(|mut out| out.write_all(&serde_json::to_vec(self)?))
                .and_then(|()| fs::rename(&temporary, file));
            if result.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            result
        };
        if let Err(error) = written() {
            tracing::warn!(file = %file.display(), %error, "the hashes of the data cannot be remembered");
        }
    }
}

/// Where the hashes of a source are remembered; built-in data need no memory.
fn memo_file(source: &OpenSource, cache_dir: &Path) -> Option<PathBuf> {
    let root = match &source.bytes {
        Bytes::Folder(folder, _) => folder.root(),
        Bytes::Zip(archive, _) => archive.path(),
        Bytes::Emoji(_) | Bytes::Faces(_) => return None,
    };
    let key = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
    Some(cache_dir.join("fingerprints").join(format!("{}.json", &key[..32])))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changed_just_before_it_was_hashed_is_hashed_again() {
        let hash = blake3::hash(b"content");
        let stamp = |modified, changed| Stamp { size: 7, modified, changed };
        let known = |stamp| {
            let entries = [("a.jpg".to_owned(), (stamp, hash.to_hex().to_string()))].into();
            Memo { version: MEMO_VERSION, taken: 10 * RACY, entries }.hash("a.jpg", stamp)
        };
        assert_eq!(known(stamp(5 * RACY, 6 * RACY)), Some(hash));
        assert_eq!(known(stamp(9 * RACY + 1, 0)), None);
        assert_eq!(known(stamp(5 * RACY, 9 * RACY + 1)), None);
        assert_eq!(known(stamp(50 * RACY, 50 * RACY)), None);
    }

    #[test]
    fn a_file_with_other_times_or_size_is_hashed_again() {
        let (old, hash) = (Stamp { size: 7, modified: 1, changed: 1 }, blake3::hash(b"content"));
        let entries = [("a.jpg".to_owned(), (old, hash.to_hex().to_string()))].into();
        let memo = Memo { version: MEMO_VERSION, taken: 10 * RACY, entries };
        assert_eq!(memo.hash("a.jpg", old), Some(hash));
        assert_eq!(memo.hash("a.jpg", Stamp { size: 8, ..old }), None);
        assert_eq!(memo.hash("a.jpg", Stamp { modified: 2, ..old }), None);
        assert_eq!(memo.hash("a.jpg", Stamp { changed: 2, ..old }), None);
        assert_eq!(memo.hash("b.jpg", old), None);
    }
}
