//! The file of decoded images that all runs map into memory.
//!
//! ```text
//! page 0    magic, version, sizes, key, hash of the index, hash of all this
//! page 1..  images of equal size, back to back: [height, width, 3] in u8, one slot for each file of the source
//! end       the index as JSON: name, label, hashes and origin of each image, and the files that were left out
//! ```
//!
//! The header is written last, then the file is synced and renamed into place, so a file under its final name is whole.
//! When it is opened again the header, the length, the index and the hash of every image are checked; of files above
//! 2 GiB as many evenly spread images as come to 2 GiB, which takes less than a second.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::decode::ImageInfo;
use super::look::Look;

const MAGIC: &[u8; 8] = b"EMOPIXEL";
const VERSION: u32 = 1;
const PAGE: u64 = 4096;
/// Bytes of the header before its own hash.
const HEADER: usize = 8 + 8 + 4 * 8 + 32 + 32;
/// Bytes of pixels that are hashed when a file is opened.
const CHECKED: u64 = 2 << 30;

/// What is known of the images in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) images: Vec<Entry>,
    pub(super) broken: Vec<Broken>,
}

/// One image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) label: usize,
    /// Which slot has its pixels.
    pub(super) slot: usize,
    #[serde(with = "hex")]
    pub(super) content_hash: blake3::Hash,
    #[serde(with = "hex")]
    pub(super) pixels_hash: blake3::Hash,
    pub(super) info: ImageInfo,
    pub(super) look: Look,
}

/// A file that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Its name, as [`super::source::Item::name`].
    pub name: String,
    /// A sentence.
    pub reason: String,
}

/// What the file must be of: its key (a hash of all that the pixels depend on) and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) key: blake3::Hash,
    /// Files of the source.
    pub(super) slots: u64,
    /// Bytes of one image.
    pub(super) image: u64,
}

impl Shape {
    fn offset(&self, slot: usize) -> u64 {
        PAGE + slot as u64 * self.image
    }

    fn end_of_pixels(&self) -> u64 {
        PAGE + self.slots * self.image
    }

    fn header(&self, index_length: u64, index_hash: blake3::Hash) -> Vec<u8> {
        let mut header = Vec::with_capacity(PAGE as usize);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        for number in [self.slots, self.image, self.end_of_pixels(), index_length] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(self.key.as_bytes());
        header.extend_from_slice(index_hash.as_bytes());
        header.extend_from_slice(blake3::hash(&header).as_bytes());
        header.resize(PAGE as usize, 0);
        header
    }
}

/// A file in the making. It vanishes again unless it is finished.
#[derive(Debug)]
pub(super) struct PixelWriter {
    file: File,
    path: PathBuf,
    shape: Shape,
    finished: bool,
}

impl PixelWriter {
    /// Makes the file and reserves its room on the disk where the file system can, so that a full disk shows at once.
    pub(super) fn create(path: &Path, shape: Shape) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let writer = Self { file, path: path.to_owned(), shape, finished: false };
        reserve(&writer.file, shape.end_of_pixels())?;
        Ok(writer)
    }

    /// Writes the image of a slot. Threads write side by side.
    pub(super) fn write(&self, slot: usize, pixels: &[u8]) -> io::Result<()> {
        self.file.write_all_at(pixels, self.shape.offset(slot))
    }

    /// Completes the file and gives it its name.
    pub(super) fn finish(mut self, index: &Index, path: &Path) -> io::Result<()> {
        let end = self.shape.end_of_pixels();
        self.file.set_len(end)?;
        // Piece by piece: of very many images it is long.
        let mut out = IndexWriter { file: &self.file, at: end, hasher: blake3::Hasher::new() };
        let mut pieces = BufWriter::with_capacity(1 << 16, &mut out);
        serde_json::to_writer(&mut pieces, index)?;
        pieces.flush()?;
        drop(pieces);
        let header = self.shape.header(out.at - end, out.hasher.finalize());
        self.file.write_all_at(&header, 0)?;
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.finished = true;
        // Without this the new name, not the data, may be lost in a power cut.
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Writes behind the pixels, and hashes what it writes.
struct IndexWriter<'a> {
    file: &'a File,
    at: u64,
    hasher: blake3::Hasher,
}

impl Write for IndexWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PixelWriter {
    fn drop(&mut self) {
        if !self.finished {
            // If this fails too, the next builder removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the file's room on the disk. Not every file system can; other errors will show when writing.
#[cfg(target_os = "linux")]
fn reserve(file: &File, length: u64) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}

/// A whole file, mapped.
#[derive(Debug)]
pub(super) struct PixelFile {
    map: Mmap,
    shape: Shape,
    pub(super) index: Index,
}

/// Why there is no file to use.
#[derive(Debug)]
pub(super) enum OpenError {
    /// There is none.
    Missing,
    /// There is one, to be built again.
    Damaged(String),
}

impl PixelFile {
    /// Maps and checks a file.
    pub(super) fn open(path: &Path, shape: Shape) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Missing,
            _ => OpenError::Damaged(error.to_string()),
        })?;
        let map = map(&file).map_err(|error| OpenError::Damaged(error.to_string()))?;
        let index = read_index(&map, shape).map_err(|problem| OpenError::Damaged(problem.to_owned()))?;
        let file = Self { map, shape, index };
        file.check_pixels().map_err(|name| OpenError::Damaged(format!("the pixels of \"{name}\" have changed")))?;
        Ok(file)
    }

    /// Pixels of image `image` of the index.
    pub(super) fn pixels(&self, image: usize) -> &[u8] {
        let start = self.shape.offset(self.index.images[image].slot) as usize;
        &self.map[start..start + self.shape.image as usize]
    }

    /// The name of an image whose pixels are not those that were written.
    fn check_pixels(&self) -> Result<(), &str> {
        let images = self.index.images.len();
        let step = (images as u64 * self.shape.image).div_ceil(CHECKED).max(1) as usize;
        (0..images).into_par_iter().step_by(step).try_for_each(|image| {
            let entry = &self.index.images[image];
            if blake3::hash(self.pixels(image)) == entry.pixels_hash { Ok(()) } else { Err(entry.name.as_str()) }
        })
    }
}

#[allow(unsafe_code, reason = "mapping a file is the one thing here that the compiler cannot vouch for")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: no process ever writes to a file under its final name: it is only replaced or removed, which leaves the
    // mapped one as it is. Somebody who cuts it short by hand ends this process with SIGBUS.
    unsafe { Mmap::map(file) }
}

/// The index, if the header is that of a whole file of this shape and all slots lie in it.
fn read_index(bytes: &[u8], shape: Shape) -> Result<Index, &'static str> {
    let header = bytes.get(..PAGE as usize).ok_or("it is too short")?;
    let end = usize::try_from(shape.end_of_pixels()).map_err(|_| "it is too long")?;
    if !header.starts_with(MAGIC) {
        return Err("it begins with something else");
    }
    if header[HEADER..HEADER + 32] != *blake3::hash(&header[..HEADER]).as_bytes() {
        return Err("its header is damaged");
    }
    let index = bytes.get(end..).ok_or("it is cut off")?;
    if *header != shape.header(index.len() as u64, blake3::hash(index))[..] {
        return Err("it is cut off, of another version or of other data, or its index is damaged");
    }
    let index: Index = serde_json::from_slice(index).map_err(|_| "its index cannot be read")?;
    if index.images.iter().any(|entry| entry.slot as u64 >= shape.slots) {
        return Err("its index points outside");
    }
    Ok(index)
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &blake3::Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<blake3::Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)
    }
}
