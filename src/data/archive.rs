//! A ZIP archive of images, read where it lies.
//!
//! Archives come from anywhere, so nothing in one is believed: names must stay inside, links and encryption are refused,
//! sizes must be in proportion, and while an entry is inflated it is held to the size that it claims.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zip::read::{ZipArchiveMetadata, ZipFileEntry};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive, ZipReadOptions};

use super::error::{DataError, ItemError};
use super::folder::{MAX_FILE, require_existing, unreadable};
use super::layout::{Listing, is_litter};

/// Largest sum of the entries' sizes, in bytes.
const MAX_TOTAL: u64 = 64 << 30;
/// Size from which on the compression ratio is looked at, in bytes.
const RATIO_FROM: u64 = 1 << 20;
/// Largest compression ratio; photographs reach 1 or 2, drawings some 50, bombs 1,000.
const MAX_RATIO: u64 = 200;

/// An open archive. Threads read it side by side, each at its own place.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    directory: Arc<ZipArchiveMetadata>,
    /// Entry of each file of the listing.
    entries: Vec<usize>,
}

impl Archive {
    /// Reads the archive's directory and looks it through.
    ///
    /// # Errors
    /// When it does not exist, is damaged, or is not to be trusted.
    pub fn open(path: &Path) -> Result<(Self, Listing), DataError> {
        require_existing(path)?;
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        if !file.metadata().map_err(|error| unreadable(path, error))?.is_file() {
            return Err(DataError::NotAnArchive(path.to_owned()));
        }
        let refuse = |problem: String| DataError::Archive { path: path.to_owned(), problem };
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| match error {
            ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => unreadable(path, error),
            error => refuse(format!("it is no ZIP file, or damaged or cut off ({error}). Get it again.")),
        })?;
        let directory = archive.metadata();
        let (listing, entries) = list(&directory).map_err(refuse)?;
        let path = path.canonicalize().map_err(|error| unreadable(path, error))?;
        Ok((Self { path, file: archive.into_inner().into_inner(), directory, entries }, listing))
    }

    /// The archive itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length and times of the file that is open, whatever stands under its name by now.
    ///
    /// # Errors
    /// What the system says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Inflates the listing's file number `file`.
    ///
    /// # Errors
    /// When the entry is damaged or longer than it claims.
    pub fn read(&self, file: usize) -> Result<Vec<u8>, ItemError> {
        let failed = |error: ZipError| match error {
            ZipError::Io(error) => self.read_error(error),
            error => ItemError::Damaged(format!("Its entry in the archive is damaged: {error}.")),
        };
        let entry = self.entries.get(file).copied().unwrap_or(usize::MAX);
        let entry = self.directory.entry(entry).map_err(failed)?;
        let size = entry.size();
        let mut place = Place { file: &self.file, position: 0 };
        let reader = entry.with_reader(&mut place, ZipReadOptions::new()).map_err(failed)?;
        let mut bytes = Vec::with_capacity(size.min(RATIO_FROM) as usize);
        reader.take(size + 1).read_to_end(&mut bytes).map_err(|error| self.read_error(error))?;
        if bytes.len() as u64 != size {
            return Err(ItemError::Damaged("Its entry in the archive is not as long as the archive says.".to_owned()));
        }
        Ok(bytes)
    }

    fn read_error(&self, error: io::Error) -> ItemError {
        use io::ErrorKind as E;
        match error.kind() {
            E::InvalidData | E::InvalidInput | E::UnexpectedEof | E::Other => {
                ItemError::Damaged(format!("Its entry in the archive is damaged: {error}."))
            }
            _ => ItemError::Fatal(unreadable(&self.path, error)),
        }
    }
}

/// The archive's files and folders, and the entry of each file; or what is wrong.
fn list(directory: &ZipArchiveMetadata) -> Result<(Listing, Vec<usize>), String> {
    if directory.has_duplicate_names() {
        return Err("two of its entries have the same name. Pack it again.".to_owned());
    }
    let mut listing = Listing::default();
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    let mut total: u64 = 0;
    for index in 0..directory.len() {
        let entry = directory.entry(index).map_err(|error| format!("entry {index} is damaged ({error})."))?;
        let raw = entry.name().map_err(|error| format!("the name of entry {index} cannot be read ({error})."))?;
        let is_folder = raw.ends_with(['/', '\\']);
        let components = components(&raw)?;
        require_plain(&entry, &raw, is_folder)?;
        total = total.saturating_add(entry.size());
        if total > MAX_TOTAL {
            return Err(format!("its files come to more than {} GiB.", MAX_TOTAL >> 30));
        }
        let path = components.join("/");
        if !path.is_empty() && !names.insert(path.clone()) && !is_folder {
            return Err(format!("two of its entries are named \"{path}\". Pack it again."));
        }
        if components.iter().any(|component| is_litter(component)) {
            listing.litter += usize::from(!is_folder);
            continue;
        }
        let folders = if is_folder { components.len() } else { components.len().saturating_sub(1) };
        for depth in 1..=folders {
            listing.folders.insert(components[..depth].join("/"));
        }
        if !is_folder {
            listing.files.push(path);
            entries.push(index);
        }
    }
    Ok((listing, entries))
}

/// Components of an entry's name, which must not lead out of the archive. Windows programs write `\` for `/`.
fn components(name: &str) -> Result<Vec<&str>, String> {
    let refuse = |why: &str| Err(format!("the entry \"{}\" {why}.", name.escape_debug()));
    if name.starts_with(['/', '\\']) {
        return refuse("has an absolute name");
    }
    if name.contains('\0') {
        return refuse("has a zero byte in its name");
    }
    let components: Vec<&str> =
        name.split(['/', '\\']).filter(|component| !component.is_empty() && *component != ".").collect();
    if components.contains(&"..") {
        return refuse("leads out of the archive with \"..\"");
    }
    // A colon inside a name is fine, "C:" at its beginning is a drive.
    if components
        .first()
        .is_some_and(|first| matches!(first.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic()))
    {
        return refuse("has the name of a drive");
    }
    Ok(components)
}

fn require_plain(entry: &ZipFileEntry<'_>, name: &str, is_folder: bool) -> Result<(), String> {
    const KIND: u32 = 0o170_000;
    let (folder, file) = (0o040_000, 0o100_000);
    let problem = match entry.unix_mode().unwrap_or(0) & KIND {
        0o120_000 => "is a symbolic link; pack the file itself",
        kind if kind != 0 && kind != folder && kind != file => "is neither a file nor a folder",
        _ if entry.encrypted() => "is encrypted; pack it without a password",
        _ if !is_folder && !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) => {
            "is compressed in a way other than deflate; pack it again"
        }
        _ if entry.size() > MAX_FILE => "is larger than 256 MiB",
        _ if entry.size() > RATIO_FROM && entry.size() / entry.compressed_size().max(1) >= MAX_RATIO => {
            "would grow to more than 200 times its packed size"
        }
        _ => return Ok(()),
    };
    Err(format!("the entry \"{}\" {problem}.", name.escape_debug()))
}

/// A place in a file that other threads read elsewhere at the same time.
struct Place<'a> {
    file: &'a File,
    position: u64,
}

impl Read for Place<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Place<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.file.metadata()?.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn a_colon_is_fine_inside_a_name_and_a_drive_is_not() {
        assert_eq!(
            components("dataset 50:50/Positive/a copy.jpg").unwrap(),
            ["dataset 50:50", "Positive", "a copy.jpg"]
        );
        assert_eq!(components("x\\Positive\\a.jpg").unwrap(), ["x", "Positive", "a.jpg"]);
        assert!(components("C:/Positive/a.jpg").unwrap_err().contains("drive"));
        assert!(components("/etc/passwd").unwrap_err().contains("absolute"));
        assert!(components("a/../../b").unwrap_err().contains("\"..\""));
    }
}
