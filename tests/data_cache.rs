//! Images are decoded once, for all runs, and what is used is always what was decoded.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use emo_runner::config::{Augment, ImageSize, Interpolation, Source};
use emo_runner::data::cache::Dataset;
use emo_runner::data::error::DataError;
use emo_runner::data::sheet::{augmented_sheet, sheet};
use emo_runner::data::source::OpenSource;
use emo_runner::data::split::{Shares, split};
use emo_runner::data::unpack::write_split;
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

const SIZE: ImageSize = ImageSize { height: 12, width: 20 };

fn picture(shade: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = RgbImage::from_fn(40, 24, |x, y| Rgb([shade, (x * 6) as u8, (y * 10) as u8]));
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    bytes
}

/// A folder of `count` images a class and an empty cache folder.
struct Rig {
    place: TempDir,
}

impl Rig {
    fn new(count: usize) -> Self {
        let rig = Self { place: TempDir::new().unwrap() };
        for (offset, class) in ["Negative", "Positive"].into_iter().enumerate() {
            fs::create_dir_all(rig.data().join(class)).unwrap();
            for image in 0..count {
                let shade = (2 * image + offset) as u8;
                fs::write(rig.data().join(class).join(format!("{image:03}.png")), picture(shade)).unwrap();
            }
        }
        rig
    }

    fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    fn cache(&self) -> PathBuf {
        self.place.path().join("results/cache")
    }

    fn source(&self) -> OpenSource {
        let classes = ["Negative".to_owned(), "Positive".to_owned()];
        OpenSource::open(&Source::Folder(self.data()), &classes).unwrap()
    }

    fn load(&self) -> Result<Dataset, DataError> {
        self.load_with(SIZE, Interpolation::Bilinear, false)
    }

    fn load_with(&self, size: ImageSize, interpolation: Interpolation, skip: bool) -> Result<Dataset, DataError> {
        Dataset::load(&self.source(), size, interpolation, skip, &self.cache(), &|_, _| {})
    }

    fn cached(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    }
}

fn all_pixels(dataset: &Dataset) -> Vec<Vec<u8>> {
    (0..dataset.len()).map(|image| dataset.pixels(image).to_vec()).collect()
}

#[test]
fn the_second_run_decodes_nothing() {
    let rig = Rig::new(6);
    let called = AtomicUsize::new(0);
    let last = AtomicUsize::new(0);
    let progress = |done: usize, total: usize| {
        assert_eq!(total, 12);
        called.fetch_add(1, Ordering::Relaxed);
        last.fetch_max(done, Ordering::Relaxed);
    };
    let load = || Dataset::load(&rig.source(), SIZE, Interpolation::Bilinear, false, &rig.cache(), &progress).unwrap();
    let first = load();
    assert!(!first.from_cache());
    assert_eq!((called.load(Ordering::Relaxed), last.load(Ordering::Relaxed)), (12, 12));
    let second = load();
    assert!(second.from_cache());
    assert_eq!(called.load(Ordering::Relaxed), 12);
    assert_eq!(all_pixels(&first), all_pixels(&second));
    assert_eq!(first.fingerprint(), second.fingerprint());
}

#[test]
fn a_data_set_knows_its_images() {
    let rig = Rig::new(3);
    let dataset = rig.load().unwrap();
    assert_eq!((dataset.len(), dataset.is_empty(), dataset.size()), (6, false, SIZE));
    assert_eq!(dataset.name(0), "Negative/000.png");
    assert_eq!(dataset.name(5), "Positive/002.png");
    assert_eq!((0..6).map(|image| dataset.label(image)).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
    assert_eq!(dataset.pixels(2).len(), 12 * 20 * 3);
    assert_eq!(dataset.pixels(2)[0], 4);
    assert_eq!(dataset.content_hash(2), blake3::hash(&picture(4)).as_bytes());
    let info = dataset.info(2);
    assert_eq!((info.width, info.height, &*info.format), (40, 24, "PNG"));
    assert!(dataset.broken().is_empty());
    assert_eq!(*dataset.fingerprint(), rig.source().fingerprint(None).unwrap());
}

#[test]
fn each_size_and_interpolation_has_its_own_file() {
    let rig = Rig::new(2);
    rig.load().unwrap();
    let other = ImageSize { height: 20, width: 12 };
    assert!(!rig.load_with(other, Interpolation::Bilinear, false).unwrap().from_cache());
    assert!(!rig.load_with(SIZE, Interpolation::Nearest, false).unwrap().from_cache());
    assert_eq!(rig.cached(".pixels").len(), 3);
}

#[test]
fn changed_data_are_decoded_again() {
    let rig = Rig::new(2);
    let before = rig.load().unwrap();
    fs::write(rig.data().join("Positive/001.png"), picture(200)).unwrap();
    let after = rig.load().unwrap();
    assert!(!after.from_cache());
    assert_ne!(before.fingerprint(), after.fingerprint());
    assert_eq!(after.pixels(3)[0], 200);
    // The old one is still what it was.
    assert_eq!(before.pixels(3)[0], 3);
}

#[test]
fn a_damaged_cache_is_built_again() {
    let rig = Rig::new(4);
    let good = all_pixels(&rig.load().unwrap());
    let path = rig.cached(".pixels").remove(0);
    let bytes = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damages = [
        flipped(0),
        flipped(20),
        flipped(4096 + 700),
        flipped(bytes.len() - 5),
        bytes[..bytes.len() - 1].to_vec(),
        bytes[..5000].to_vec(),
        bytes[..100].to_vec(),
        [bytes.clone(), vec![0]].concat(),
        b"something else".to_vec(),
        Vec::new(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        // A mapped file is never changed in place, not here either.
        fs::remove_file(&path).unwrap();
        fs::write(&path, damage).unwrap();
        let dataset = rig.load().unwrap();
        assert!(!dataset.from_cache(), "damage {number}");
        assert_eq!(all_pixels(&dataset), good, "damage {number}");
        assert!(rig.load().unwrap().from_cache());
    }
}

#[test]
fn of_many_that_start_at_once_one_decodes() {
    let rig = Rig::new(40);
    let barrier = Barrier::new(6);
    let built: Vec<(bool, Vec<Vec<u8>>)> = std::thread::scope(|scope| {
        let load = || {
            let source = rig.source();
            barrier.wait();
            let dataset =
                Dataset::load(&source, SIZE, Interpolation::Bilinear, false, &rig.cache(), &|_, _| {}).unwrap();
            (dataset.from_cache(), all_pixels(&dataset))
        };
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(built.iter().filter(|(from_cache, _)| !from_cache).count(), 1);
    assert!(built.iter().all(|(_, pixels)| *pixels == built[0].1));
    assert_eq!((rig.cached(".pixels").len(), rig.cached(".part").len()), (1, 0));
}

#[test]
fn what_a_dead_builder_left_is_removed_and_a_living_ones_is_not() {
    let rig = Rig::new(2);
    fs::create_dir_all(rig.cache()).unwrap();
    let write = |name: &str| fs::write(rig.cache().join(name), b"half").unwrap();
    write("dead.1-2.part");
    write("dead.lock");
    write("forgotten.1-2.part");
    write("alive.1-2.part");
    write("notes.txt");
    let alive = fs::File::create(rig.cache().join("alive.lock")).unwrap();
    alive.lock().unwrap();
    rig.load().unwrap();
    let left = rig.cached(".part");
    assert_eq!(left, [rig.cache().join("alive.1-2.part")]);
    assert!(rig.cache().join("notes.txt").exists());
}

#[test]
fn few_broken_images_are_left_out_with_their_reasons() {
    let rig = Rig::new(20);
    fs::write(rig.data().join("Negative/003.png"), b"").unwrap();
    fs::write(rig.data().join("Positive/004.png"), &picture(1)[..60]).unwrap();
    let dataset = rig.load().unwrap();
    assert_eq!(dataset.len(), 38);
    assert_eq!(dataset.broken().len(), 2);
    assert_eq!(dataset.broken()[0].name, "Negative/003.png");
    assert_eq!(dataset.broken()[0].reason, "The file is empty.");
    assert!(dataset.broken()[1].reason.starts_with("The PNG file is damaged"), "{}", dataset.broken()[1].reason);
    assert_eq!(dataset.name(3), "Negative/004.png");
    assert_eq!(dataset.pixels(3)[0], 8);
    assert!(rig.load().unwrap().broken().len() == 2);
}

#[test]
fn many_broken_images_are_an_error_unless_told_otherwise() {
    let rig = Rig::new(20);
    for image in ["Negative/000.png", "Negative/001.png", "Positive/007.png"] {
        fs::write(rig.data().join(image), b"no image").unwrap();
    }
    let error = rig.load().unwrap_err().to_string();
    assert!(
        error.contains("3 of the 40 images") && error.contains("\"Negative/000.png\": The file is text"),
        "{error}"
    );
    assert!(error.contains("skip_broken"), "{error}");
    let dataset = rig.load_with(SIZE, Interpolation::Bilinear, true).unwrap();
    assert_eq!(dataset.len(), 37);
}

#[test]
fn a_class_of_broken_images_is_too_small() {
    let rig = Rig::new(3);
    for image in ["000", "001"] {
        fs::write(rig.data().join(format!("Positive/{image}.png")), b"no image").unwrap();
    }
    let error = rig.load_with(SIZE, Interpolation::Bilinear, true).unwrap_err().to_string();
    assert!(
        error.contains("\"Positive\"") && error.contains("1 usable") && error.contains("2 files are broken"),
        "{error}"
    );
}

#[test]
fn a_cache_folder_that_cannot_be_made_is_an_error_with_its_path() {
    let rig = Rig::new(2);
    fs::write(rig.place.path().join("results"), b"a file").unwrap();
    let error = rig.load().unwrap_err().to_string();
    assert!(error.contains("results/cache") && error.contains("cannot be used"), "{error}");
}

#[test]
fn equal_files_are_one_group() {
    let rig = Rig::new(5);
    fs::write(rig.data().join("Positive/004.png"), picture(2)).unwrap();
    let dataset = rig.load().unwrap();
    assert_eq!(dataset.duplicate_groups(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 1]);
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_split_is_written_as_the_tutorial_has_it() {
    let rig = Rig::new(20);
    fs::write(rig.data().join("Negative/003.png"), b"").unwrap();
    let dataset = rig.load().unwrap();
    let labels: Vec<usize> = (0..dataset.len()).map(|image| dataset.label(image)).collect();
    let split = split(&labels, None, 21, Shares { test: 0.2, validation: 0.25, fold: None }).unwrap();
    let to = rig.place.path().join("split");
    assert_eq!(write_split(&rig.source(), &dataset, &split, &to).unwrap(), 39);
    assert_eq!((count(&to.join("train/Negative")), count(&to.join("train/Positive"))), (12, 12));
    assert_eq!((count(&to.join("valid/Negative")), count(&to.join("valid/Positive"))), (3, 4));
    assert_eq!((count(&to.join("validation/Negative")), count(&to.join("validation/Positive"))), (4, 4));
    for &image in &split.test {
        let name = dataset.name(image);
        assert_eq!(fs::read(to.join("valid").join(name)).unwrap(), fs::read(rig.data().join(name)).unwrap());
    }
    assert!(matches!(write_split(&rig.source(), &dataset, &split, &to), Err(DataError::Target(_))));
}

#[test]
fn contact_sheets_show_every_image() {
    let rig = Rig::new(5);
    let dataset = rig.load().unwrap();
    // Two bands of 10, two rows of thumbnails a class, gaps of 4.
    let picture = sheet(&dataset, 5, 3);
    assert_eq!(picture.dimensions(), (4 + 3 * 24, 4 + 2 * 14 + 4 * 16));
    assert_eq!(picture.get_pixel(10, 18).0[0], dataset.pixels(0)[0]);
    let picture = augmented_sheet(&dataset, &Augment::default(), 1, 2, 4);
    assert_eq!(picture.dimensions(), (4 + 4 * 24, 4 + 2 * 16));
    let inner = |column: u32| *picture.get_pixel(4 + column * 24 + 7, 4 + 5);
    assert!((1..4).all(|column| inner(column) == inner(0)));
}
