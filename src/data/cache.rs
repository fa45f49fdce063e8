//! Decoded images, shared by all runs.
//!
//! Decoding is done once for each (data, size, interpolation) and kept as one file in the cache folder, see
//! [`pixel_file`](super::pixel_file). Of several processes that need the same file one builds it while the others wait
//! for its lock, which the kernel releases with the process that holds it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use super::decode::{self, DECODER_VERSION, ImageInfo};
use super::duplicates;
use super::error::{DataError, ItemError};
use super::fingerprint::{Fingerprint, Hashes};
use super::look::Look;
use super::pixel_file::{Entry, Index, OpenError, PixelFile, PixelWriter, Shape};
use super::source::OpenSource;
use crate::config::{ImageSize, Interpolation};

pub use super::pixel_file::Broken;

/// Part of the name of kept groups: raise it when the same looks make other groups.
const GROUPS_VERSION: u32 = 1;

/// The usable images of a source at one size, in memory that the system shares between processes and gives up when it
/// must. Sorted by class and name.
#[derive(Debug)]
pub struct Dataset {
    file: PixelFile,
    size: ImageSize,
    fingerprint: Fingerprint,
    from_cache: bool,
    groups: PathBuf,
}

impl Dataset {
    /// The images of `source` at `size`, from the cache in `cache_dir`, or decoded into it.
    ///
    /// `progress` is called with the images done and their count, from several threads; not at all when nothing is to be
    /// done. A damaged cache is built again.
    ///
    /// # Errors
    /// When the source cannot be read or the cache not be written; when more than 5 % of the images are broken, unless
    /// `skip_broken`; and when fewer than two of a class are good.
    pub fn load(
        source: &OpenSource,
        size: ImageSize,
        interpolation: Interpolation,
        skip_broken: bool,
        cache_dir: &Path,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, DataError> {
        let hashes = source.hashes(Some(cache_dir))?;
        let shape = Shape {
            key: key(hashes.fingerprint, size, interpolation),
            slots: source.items().len() as u64,
            image: (size.height * size.width * 3) as u64,
        };
        let cache = Cache { folder: cache_dir, name: shape.key.to_hex()[..32].to_owned(), shape };
        let (file, from_cache) = match cache.open() {
            Some(file) => (file, true),
            None => cache.build_alone(&Work { source, hashes, size, interpolation, progress })?,
        };
        require_usable(&file.index, source, skip_broken)?;
        let groups = cache_dir.join(format!("{}.groups{GROUPS_VERSION}", cache.name));
        Ok(Self { file, size, fingerprint: hashes.fingerprint, from_cache, groups })
    }

    /// A group number for each image: those that are the same picture share one, see [`duplicates::groups`]. Found once and kept
    /// beside the pixels.
    pub fn duplicate_groups(&self) -> Vec<usize> {
        let kept: Option<Vec<usize>> =
            fs::read(&self.groups).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(kept) = kept.filter(|kept| kept.len() == self.len()) {
            return kept;
        }
        let found = duplicates::groups(self);
        let part = self.groups.with_extension(format!("{}.part", std::process::id()));
        // It can be found again; a full disk shows where it matters.
        let text = serde_json::to_vec(&found).unwrap_or_default();
        let _ = fs::write(&part, text).and_then(|()| fs::rename(&part, &self.groups));
        found
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.file.index.images.len()
    }

    /// Never true: a data set has at least two images of each class.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image `image`: `[height, width, 3]`, RGB.
    pub fn pixels(&self, image: usize) -> &[u8] {
        self.file.pixels(image)
    }

    /// Its name, as [`super::source::Item::name`].
    pub fn name(&self, image: usize) -> &str {
        &self.file.index.images[image].name
    }

    /// Index of its class.
    pub fn label(&self, image: usize) -> usize {
        self.file.index.images[image].label
    }

    /// BLAKE3 of its file.
    pub fn content_hash(&self, image: usize) -> &[u8; 32] {
        self.file.index.images[image].content_hash.as_bytes()
    }

    /// What its file was.
    pub fn info(&self, image: usize) -> &ImageInfo {
        &self.file.index.images[image].info
    }

    /// What it looks like.
    pub fn look(&self, image: usize) -> &Look {
        &self.file.index.images[image].look
    }

    /// Size of every image.
    pub fn size(&self) -> ImageSize {
        self.size
    }

    /// Identity of the source.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Files that were left out.
    pub fn broken(&self) -> &[Broken] {
        &self.file.index.broken
    }

    /// Whether it was there already.
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }
}

/// All that the pixels depend on.
fn key(fingerprint: Fingerprint, size: ImageSize, interpolation: Interpolation) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("emo-runner 2026 decoded images");
    hasher.update(fingerprint.0.as_bytes());
    hasher.update(format!("{size} {interpolation} {DECODER_VERSION}").as_bytes());
    hasher.finalize()
}

fn require_usable(index: &Index, source: &OpenSource, skip_broken: bool) -> Result<(), DataError> {
    let (broken, total) = (index.broken.len(), source.items().len());
    let example = |broken: &Broken| format!("\"{}\": {}", broken.name, broken.reason);
    if !skip_broken && broken * 20 > total {
        let examples: Vec<String> = index.broken.iter().take(3).map(example).collect();
        let origin = source.description().to_owned();
        return Err(DataError::TooManyBroken { origin, broken, total, examples: examples.join(" ") });
    }
    for (class, name) in source.classes().iter().enumerate() {
        let found = index.images.iter().filter(|image| image.label == class).count();
        if found < 2 {
            let first =
                index.broken.first().map(|first| format!(" {broken} files are broken, the first {}", example(first)));
            let (origin, class, hint) = (source.description().to_owned(), name.clone(), first.unwrap_or_default());
            return Err(DataError::TooFew { origin, class, found, hint });
        }
    }
    if broken > 0 {
        tracing::warn!(source = source.description(), broken, total, "broken images are left out");
    }
    Ok(())
}

/// What to decode, and how.
struct Work<'a> {
    source: &'a OpenSource,
    hashes: &'a Hashes,
    size: ImageSize,
    interpolation: Interpolation,
    progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Work<'_> {
    /// Decodes everything into `writer`. Memory holds one image for each thread.
    fn decode_all(
        &self,
        writer: &PixelWriter,
        failed: impl Fn(io::Error) -> DataError + Sync,
    ) -> Result<Index, DataError> {
        let total = self.source.items().len();
        let done = AtomicUsize::new(0);
        let images = (0..total).into_par_iter().map(|item| {
            let result = self.decode(item)?.map(|(pixels, entry)| writer.write(item, &pixels).map(|()| entry));
            (self.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            match result {
                Ok(written) => written.map(Ok).map_err(&failed),
                Err(broken) => Ok(Err(broken)),
            }
        });
        let images: Vec<Result<Entry, Broken>> = images.collect::<Result<_, DataError>>()?;
        let mut index = Index { images: Vec::with_capacity(images.len()), broken: Vec::new() };
        for image in images {
            match image {
                Ok(entry) => index.images.push(entry),
                Err(broken) => index.broken.push(broken),
            }
        }
        Ok(index)
    }

    /// One image, or why it is broken; an error only when the source as such fails.
    fn decode(&self, item: usize) -> Result<Result<(Vec<u8>, Entry), Broken>, DataError> {
        let name = &self.source.items()[item].name;
        let broken = |reason| Ok(Err(Broken { name: name.clone(), reason }));
        let bytes = match self.source.read(item) {
            Ok(bytes) => bytes,
            Err(ItemError::Damaged(reason)) => return broken(reason),
            Err(ItemError::Fatal(error)) => return Err(error),
        };
        let content_hash = blake3::hash(&bytes);
        if self.hashes.items.as_ref().is_some_and(|hashes| hashes[item] != content_hash) {
            return Err(DataError::Changed(name.clone()));
        }
        let decoded = match decode::decode(&bytes, self.size, self.interpolation) {
            Ok(decoded) => decoded,
            Err(error) => return broken(error.to_string()),
        };
        let entry = Entry {
            name: name.clone(),
            label: self.source.items()[item].class,
            slot: item,
            content_hash,
            pixels_hash: blake3::hash(&decoded.pixels),
            info: decoded.info,
            look: decoded.look,
        };
        Ok(Ok((decoded.pixels, entry)))
    }
}

/// One file of the cache folder: `<name>.pixels`, with `<name>.lock` beside it, and `<name>.*.part` while it is built.
struct Cache<'a> {
    folder: &'a Path,
    name: String,
    shape: Shape,
}

impl Cache<'_> {
    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.pixels", self.name))
    }

    fn open(&self) -> Option<PixelFile> {
        match PixelFile::open(&self.path(), self.shape) {
            Ok(file) => Some(file),
            Err(OpenError::Missing) => None,
            Err(OpenError::Damaged(reason)) => {
                tracing::warn!(file = %self.path().display(), reason, "the decoded images are damaged and made again");
                None
            }
        }
    }

    /// Builds the file unless another process does so meanwhile; says whether one did.
    fn build_alone(&self, work: &Work<'_>) -> Result<(PixelFile, bool), DataError> {
        fs::create_dir_all(self.folder).map_err(|error| DataError::Cache { path: self.folder.to_owned(), error })?;
        let _lock = self.lock()?;
        if let Some(file) = self.open() {
            return Ok((file, true));
        }
        let path = self.path();
        let needed = self.shape.slots * self.shape.image;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                DataError::DiskFull { path: path.clone(), needed: needed.div_ceil(1_000_000) }
            }
            _ => DataError::Cache { path: path.clone(), error },
        };
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let part = self.folder.join(format!("{}.{}-{unique}.part", self.name, std::process::id()));
        let writer = PixelWriter::create(&part, self.shape).map_err(failed)?;
        let index = work.decode_all(&writer, failed)?;
        writer.finish(&index, &path).map_err(failed)?;
        drop(index);
        PixelFile::open(&path, self.shape).map(|file| (file, false)).map_err(|error| {
            failed(io::Error::new(io::ErrorKind::InvalidData, format!("it reads back differently ({error:?})")))
        })
    }

    /// Waits until no other process builds this file. `None` where the file system has no locks: then two may build it at
    /// once, each under a name of its own, and the last one to finish wins.
    fn lock(&self) -> Result<Option<File>, DataError> {
        let path = self.folder.join(format!("{}.lock", self.name));
        let failed = |error| DataError::Cache { path: path.clone(), error };
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        let locked = match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                tracing::info!(file = %path.display(), "waiting for another process that decodes the same images");
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
        };
        match locked {
            Ok(()) => {
                self.remove_abandoned();
                Ok(Some(file))
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the cache folder's file system has no locks");
                Ok(None)
            }
        }
    }

    /// Removes what builders that died have left behind: unfinished files whose lock is free. This one's is ours.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            let file_name = entry.file_name();
            let Some((name, rest)) = file_name.to_str().and_then(|name| name.split_once('.')) else { continue };
            if !rest.ends_with(".part") {
                continue;
            }
            let lock = (name != self.name).then(|| File::open(self.folder.join(format!("{name}.lock"))));
            let free = match &lock {
                None => true,
                Some(Ok(lock)) => lock.try_lock().is_ok(),
                Some(Err(error)) => error.kind() == io::ErrorKind::NotFound,
            };
            if free {
                // Only room on the disk is lost if this fails.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
