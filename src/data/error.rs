//! What can be wrong with the data, said to the person who can put it right.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::synthesize::SynthesizeError;

/// Why data cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// Nothing at the path.
    #[error("The data source \"{path}\" does not exist.{hint}")]
    NotFound {
        /// The path as it was looked for.
        path: PathBuf,
        /// Empty, or a sentence with a leading blank.
        hint: String,
    },
    /// A file where a folder must be.
    #[error(
        "The data source \"{0}\" is a file, not a folder. Give a folder with a subfolder for each class, or an archive \
         whose name ends in .zip."
    )]
    NotAFolder(PathBuf),
    /// Something else where an archive must be.
    #[error("The data source \"{0}\" ends in .zip but is not a file. Rename the folder or give the archive itself.")]
    NotAnArchive(PathBuf),
    /// The system refuses.
    #[error("\"{path}\" cannot be read: {error}. Check that it exists and that you may read it.")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A name that cannot be written down.
    #[error("The file name \"{0}\" is not valid UTF-8. Rename the file.")]
    NotUtf8(PathBuf),
    /// A class without a folder.
    #[error("{place} has no folder for class {missing}. {found}{hint}")]
    MissingClass {
        /// Where it was looked for, as the beginning of a sentence.
        place: String,
        /// The classes, quoted.
        missing: String,
        /// What is there instead, a sentence.
        found: String,
        /// Empty, or sentences with a leading blank.
        hint: String,
    },
    /// A folder of pictures that is no class.
    #[error(
        "{place} has a class folder too many: \"{extra}\" holds {images} images, but the classes are \"{}\" and \"{}\". \
         Move it elsewhere, or name it in data.classes.", classes[0], classes[1]
    )]
    ExtraClass {
        /// Where, as the beginning of a sentence.
        place: String,
        /// The folder's name.
        extra: String,
        /// Images in it.
        images: usize,
        /// The classes of the experiment.
        classes: [String; 2],
    },
    /// One class within the other.
    #[error(
        "The folder \"{path}\" of class \"{inner}\" lies within a folder of class \"{outer}\", so its images would belong \
         to both. Put the class folders side by side."
    )]
    NestedClass {
        /// The inner folder.
        path: String,
        /// Its class.
        inner: String,
        /// The class around it.
        outer: String,
    },
    /// A class that cannot be split.
    #[error(
        "Class \"{class}\" of \"{origin}\" has {found} usable images, and at least 2 are needed: one to train on, one to \
         test with.{hint}"
    )]
    TooFew {
        /// The data source.
        origin: String,
        /// The class.
        class: String,
        /// Images found, without broken ones.
        found: usize,
        /// Empty, or a sentence with a leading blank.
        hint: String,
    },
    /// Built-in data have classes of their own.
    #[error(
        "The data source {origin} has the classes \"Negative\" and \"Positive\", in this order, but data.classes is \
         [\"{}\", \"{}\"]. Leave data.classes out.", found[0], found[1]
    )]
    BuiltinClasses {
        /// The data source.
        origin: String,
        /// The classes asked for.
        found: [String; 2],
    },
    /// The archive is damaged or not to be trusted.
    #[error("The archive \"{path}\" is refused: {problem}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// A sentence that goes on after a colon.
        problem: String,
    },
    /// The drawn faces.
    #[error(transparent)]
    Synthesize(#[from] SynthesizeError),
    /// Too many unusable images.
    #[error(
        "{} of the {total} images in \"{origin}\" cannot be used, more than 5 %: {examples} Repair or remove them, or set \
         data.skip_broken = true to go on without them.",
        broken
    )]
    TooManyBroken {
        /// The data source.
        origin: String,
        /// Unusable images.
        broken: usize,
        /// All images.
        total: usize,
        /// The first few with their reasons.
        examples: String,
    },
    /// The data were written to while they were read.
    #[error("The image \"{0}\" changed while it was being read. Run again when nothing writes to the data any more.")]
    Changed(String),
    /// The cache folder or a file in it.
    #[error(
        "The cache file \"{path}\" cannot be used: {error}. Check the folder's permissions, or choose another one."
    )]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// No room for the pixels.
    #[error(
        "The disk has no room for the decoded images: \"{path}\" needs {needed} MB. Free some space, choose another \
         results folder or a smaller data.image_size."
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Size of the whole file in 10^6 bytes.
        needed: u64,
    },
    /// A share that comes to no image.
    #[error(
        "The {part} set would get no image of class {class}, which has {images}: split.test is {test} and \
         split.validation is {validation}. Change the shares or add images of this class."
    )]
    EmptyPart {
        /// "training", "validation" or "test".
        part: &'static str,
        /// Index of the class in data.classes.
        class: usize,
        /// Images of the class.
        images: usize,
        /// Share of the test set.
        test: f64,
        /// Share of the validation set.
        validation: f64,
    },
    /// Existing files are not touched.
    #[error("The target \"{0}\" exists and is not an empty folder. Choose a new or empty folder; nothing was written.")]
    Target(PathBuf),
    /// A file cannot be written.
    #[error("\"{path}\" cannot be written: {error}. Check the free space and your permissions.")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A data set and a source that do not belong together.
    #[error("The image \"{0}\" is in the decoded data but not in the source. Open the source again.")]
    Unknown(String),
}

/// Why one item of a source has no bytes.
#[derive(Debug, Error)]
pub enum ItemError {
    /// The item itself is bad; the others may be good. The message is a sentence about it.
    #[error("{0}")]
    Damaged(String),
    /// Reading as such fails.
    #[error(transparent)]
    Fatal(#[from] DataError),
}
