//! An open data source: a sorted list of named and labelled image files, whatever they lie in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::archive::Archive;
use super::emoji::Emoji;
use super::error::{DataError, ItemError};
use super::fingerprint::{Fingerprint, Hashes};
use super::folder::Folder;
use super::layout::{Listing, Place, find_classes};
use super::synthesize::{self, Planned, Settings};
use crate::config::Source;

/// One image file of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Index of the class.
    pub class: usize,
    /// Path from the class folder's parent, components separated by `/`: "Positive/10014 copy.jpg".
    pub name: String,
}

/// A data source whose files are known. Threads may read it side by side.
///
/// ```
/// use emo_runner::config::Source;
/// use emo_runner::data::source::OpenSource;
/// let classes = ["Negative".to_owned(), "Positive".to_owned()];
/// let source = OpenSource::open(&Source::Emoji, &classes)?;
/// assert_eq!(source.items().len(), 756);
/// assert_eq!(source.items()[0].name, "Negative/1f004 mahjong tile red dragon.png");
/// # Ok::<(), emo_runner::data::error::DataError>(())
/// ```
#[derive(Debug)]
pub struct OpenSource {
    description: String,
    classes: [String; 2],
    items: Vec<Item>,
    ignored: usize,
    pub(super) bytes: Bytes,
    pub(super) hashes: OnceLock<Hashes>,
}

/// Where the bytes of item `i` are.
#[derive(Debug)]
pub(super) enum Bytes {
    /// The path of each item within the folder.
    Folder(Folder, Vec<String>),
    /// The path of each item within the archive, and its number in the archive's listing.
    Zip(Archive, Vec<(String, usize)>),
    Emoji(Vec<&'static Emoji>),
    Faces(Vec<Planned>),
}

impl OpenSource {
    /// Finds the images of both classes. Items are sorted by class and name, bytewise, so that nothing depends on the
    /// order in which a file system lists them.
    ///
    /// # Errors
    /// [`DataError`] when there is no such source, or when its folders are not the two classes.
    pub fn open(source: &Source, classes: &[String; 2]) -> Result<Self, DataError> {
        match source {
            Source::Folder(path) => {
                let (folder, listing) = Folder::open(path)?;
                let (items, files, ignored) = arrange(&listing, classes, "folder", folder.root())?;
                let paths = files.into_iter().map(|file| listing.files[file].clone()).collect();
                Ok(Self::new(source, classes, items, ignored, Bytes::Folder(folder, paths)))
            }
            Source::Zip(path) => {
                let (archive, listing) = Archive::open(path)?;
                let (items, files, ignored) = arrange(&listing, classes, "archive", path)?;
                let paths = files.into_iter().map(|file| (listing.files[file].clone(), file)).collect();
                Ok(Self::new(source, classes, items, ignored, Bytes::Zip(archive, paths)))
            }
            Source::Emoji => {
                require_builtin_classes(source, classes)?;
                let emoji = Emoji::all().iter().map(|emoji| (item(classes, emoji.label(), &emoji.file_name()), emoji));
                let (items, emoji) = sorted(emoji.collect());
                Ok(Self::new(source, classes, items, 0, Bytes::Emoji(emoji)))
            }
            Source::Faces => {
                require_builtin_classes(source, classes)?;
                let faces = synthesize::plan(&Settings::BUILTIN_FACES).into_iter();
                let faces = faces.map(|face| (item(classes, face.label, &face.name), face));
                let (items, faces) = sorted(faces.collect());
                Ok(Self::new(source, classes, items, 0, Bytes::Faces(faces)))
            }
        }
    }

    fn new(source: &Source, classes: &[String; 2], items: Vec<Item>, ignored: usize, bytes: Bytes) -> Self {
        let (description, classes) = (source.to_string(), classes.clone());
        Self { description, classes, items, ignored, bytes, hashes: OnceLock::new() }
    }

    /// All images.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The classes, by index.
    pub fn classes(&self) -> &[String; 2] {
        &self.classes
    }

    /// The source as a user writes it.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Files and folders that were left out: litter such as `.DS_Store`, symbolic links, files outside the class folders.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// The file of item `item`; drawn here and now for the drawn faces.
    ///
    /// # Errors
    /// [`ItemError::Damaged`] when only this item is bad, [`ItemError::Fatal`] when the source cannot be read.
    pub fn read(&self, item: usize) -> Result<Cow<'_, [u8]>, ItemError> {
        match &self.bytes {
            Bytes::Folder(folder, paths) => folder.read(&paths[item]).map(Cow::Owned),
            Bytes::Zip(archive, paths) => archive.read(paths[item].1).map(Cow::Owned),
            Bytes::Emoji(emoji) => Ok(Cow::Borrowed(emoji[item].png())),
            Bytes::Faces(faces) => {
                let drawn = synthesize::render(&Settings::BUILTIN_FACES, &faces[item]);
                Ok(Cow::Owned(drawn.map_err(DataError::from)?))
            }
        }
    }

    /// What identifies the data: names, labels and contents, the same for a folder and an archive of it.
    ///
    /// Reads every file the first time; with a `cache_dir`, later only those that changed since.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn fingerprint(&self, cache_dir: Option<&Path>) -> Result<Fingerprint, DataError> {
        self.hashes(cache_dir).map(|hashes| hashes.fingerprint)
    }
}

/// The items of a listing, the listing's file for each, and how many files were left out.
fn arrange(
    listing: &Listing,
    classes: &[String; 2],
    kind: &'static str,
    path: &Path,
) -> Result<(Vec<Item>, Vec<usize>, usize), DataError> {
    let place = Place { kind, path: path.display().to_string() };
    let layout = find_classes(listing, classes, &place)?;
    let news = first_time(&place.path);
    if news && listing.links > 0 {
        tracing::warn!(source = place.path, links = listing.links, "symbolic links in the data are not followed");
    }
    if news && layout.stray > 0 {
        tracing::warn!(source = place.path, files = layout.stray, "files outside the class folders are ignored");
    }
    let ignored = listing.litter + listing.links + layout.stray;
    let images = layout.images.into_iter();
    let (items, files) = images.map(|image| (Item { class: image.class, name: image.name }, image.file)).unzip();
    Ok((items, files, ignored))
}

/// Whether this process has not opened the source before: plans open it several times, and saying a thing once is enough.
fn first_time(path: &str) -> bool {
    static OPENED: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.get_or_insert_default().insert(path.to_owned())
}

fn item(classes: &[String; 2], class: usize, file_name: &str) -> Item {
    Item { class, name: format!("{}/{file_name}", classes[class]) }
}

fn sorted<T>(mut items: Vec<(Item, T)>) -> (Vec<Item>, Vec<T>) {
    items.sort_by(|a, b| a.0.cmp(&b.0));
    items.into_iter().unzip()
}

fn require_builtin_classes(source: &Source, classes: &[String; 2]) -> Result<(), DataError> {
    if classes.iter().eq(["Negative", "Positive"]) {
        return Ok(());
    }
    Err(DataError::BuiltinClasses { origin: source.to_string(), found: classes.clone() })
}
