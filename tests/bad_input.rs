//! Promise: no bytes, however odd, make the program panic, hang or take memory without bounds: what cannot be read is refused
//! in words.
//!
//! Each target takes real files and changes them: `PROPTEST_CASES=100000 cargo test --test bad_input` tries longer.

mod support;

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use emo_runner::config::{ImageSize, Interpolation, Settings, Source, load, load_sweep, parse};
use emo_runner::data::cache::Dataset;
use emo_runner::data::decode::{decode, inspect};
use emo_runner::data::source::OpenSource;
use emo_runner::model::Network;
use emo_runner::model::weights::read_safetensors;
use emo_runner::train::backend::Cpu;
use emo_runner::train::checkpoint;
use emo_runner::train::optimizer::Optimizer;
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use support::page::Page;
use support::{Lab, SMALL};

/// One change of a file.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Set(usize, u64, usize),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize, usize),
}

/// Numbers at the edges of types.
const EDGES: [u64; 10] = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, i64::MAX as u64, u64::MAX];

fn change() -> impl Strategy<Value = Change> {
    let edge = prop::sample::select(EDGES.to_vec());
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<usize>(), edge, 1_usize..=8).prop_map(|(at, value, width)| Change::Set(at, value, width)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1_usize..64).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<usize>(), 1_usize..64, 1_usize..50).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
    ]
}

fn changes() -> impl Strategy<Value = (usize, Vec<Change>)> {
    (any::<usize>(), prop::collection::vec(change(), 0..6))
}

/// One of the real files, changed.
fn changed(files: &[Vec<u8>], (which, changes): &(usize, Vec<Change>)) -> Vec<u8> {
    let mut bytes = files[which % files.len()].clone();
    for change in changes {
        let length = bytes.len();
        let place = |at: usize| if length == 0 { 0 } else { at % length };
        match change {
            Change::Flip(at, bits) => bytes.iter_mut().skip(place(*at)).take(1).for_each(|byte| *byte ^= bits),
            Change::Set(at, value, width) => {
                let value = value.to_le_bytes();
                bytes.iter_mut().skip(place(*at)).zip(&value[..*width]).for_each(|(byte, new)| *byte = *new);
            }
            Change::Cut(at) => bytes.truncate(place(*at)),
            Change::Remove(at, count) => drop(bytes.drain(place(*at)..(place(*at) + count).min(length))),
            Change::Insert(at, new) => drop(bytes.splice(place(*at)..place(*at), new.iter().copied())),
            Change::Repeat(at, count, times) => {
                let part = bytes[place(*at)..(place(*at) + count).min(length)].repeat(*times);
                bytes.splice(place(*at)..place(*at), part);
            }
        }
    }
    bytes
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(19, 11, |x, y| Rgb([x as u8 * 13, y as u8 * 23, 77]));
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn archive() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["Negative/a.png", "Negative/b.png", "Positive/a.png", "Positive/b.png"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&encoded(ImageFormat::Png)).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Every experiment that we ship, and one with a sweep.
fn experiments() -> Vec<Vec<u8>> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let files = ["baseline.toml", "quick.toml", "relu.toml"].map(|name| fs::read(shipped.join(name)).unwrap());
    let sweep = format!("{SMALL}[resources]\nmemory = \"2GiB\"\n[sweep]\nrepeats = 2\n[sweep.axes]\nseed = [1, 2]\n");
    files.into_iter().chain([sweep.into_bytes()]).collect()
}

fn file(bytes: &[u8], name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

proptest! {
    #[test]
    fn experiment_files(how in changes()) {
        let bytes = changed(&experiments(), &how);
        let (_folder, path) = file(&bytes, "odd.toml");
        if let Err(error) = load_sweep(&path, &[]) {
            prop_assert!(!error.render(true).is_empty());
        }
        if let Err(error) = Settings::load(&path) {
            prop_assert!(!error.render(false).is_empty());
        }
    }

    #[test]
    fn values_on_the_command_line(key in "[a-z_.]{0,20}", value in ".{0,20}") {
        for text in [format!("{key}={value}"), format!("train.epochs={value}"), format!("{key}{value}")] {
            let _ = parse(SMALL, Path::new("x.toml"), &[text]).map_err(|error| error.render(false));
        }
    }

    #[test]
    fn images(how in changes()) {
        let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];
        let bytes = changed(&formats.map(encoded), &how);
        let _ = inspect(&bytes);
        if let Ok(decoded) = decode(&bytes, ImageSize { height: 16, width: 16 }, Interpolation::Bilinear) {
            prop_assert_eq!(decoded.pixels.len(), 16 * 16 * 3);
        }
    }

    #[test]
    fn archives(how in changes()) {
        let (_folder, path) = file(&changed(&[archive()], &how), "odd.zip");
        let classes = ["Negative".to_owned(), "Positive".to_owned()];
        if let Ok(source) = OpenSource::open(&Source::Zip(path), &classes) {
            for item in 0..source.items().len() {
                let _ = source.read(item);
            }
        }
    }
}

/// Files of a run that was done, each changed, and what reads them.
#[test]
fn files_of_a_run() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let run = lab.run_folders("results").remove(0);
    let [events, model] = ["events.jsonl", "model.safetensors"].map(|name| fs::read(run.join(name)).unwrap());
    let mut runner = proptest::test_runner::TestRunner::default();
    let strategy = changes();
    runner
        .run(&strategy, |how| {
            let (_folder, path) = file(&changed(std::slice::from_ref(&events), &how), "events.jsonl");
            emo_runner::events::read_all(&path).unwrap();
            // A file that was cut off anywhere has its whole lines, and no half one.
            let whole = &events[..how.0 % events.len()];
            let (_folder, path) = file(whole, "events.jsonl");
            let lines = emo_runner::events::read_all(&path).unwrap();
            prop_assert_eq!(lines.len(), whole.iter().filter(|&&byte| byte == b'\n').count());
            let (_folder, path) = file(&changed(std::slice::from_ref(&model), &how), "model.safetensors");
            let _ = read_safetensors(&path).map_err(|error| error.to_string());
            Ok(())
        })
        .unwrap();
}

/// A changed checkpoint is refused: not one bit of it is taken for what was written.
#[test]
fn checkpoints() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let run = lab.run_folders("results").remove(0);
    let whole = fs::read(run.join("checkpoint.safetensors")).unwrap();
    let experiment = load(&run.join("experiment.toml"), &[]).unwrap().experiment;
    let take_up = |bytes: &[u8]| {
        let (_folder, path) = file(bytes, "checkpoint.safetensors");
        let network = Network::<Cpu>::new(&experiment, &Default::default()).unwrap();
        let mut optimizer = Optimizer::new(experiment.train().optimizer(), 0.0);
        checkpoint::load(&path, network, &mut optimizer, &Default::default()).map(|(_, place)| place)
    };
    let place = take_up(&whole).unwrap();
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&changes(), |how| {
            let bytes = changed(std::slice::from_ref(&whole), &how);
            match take_up(&bytes) {
                // White space in the header, or nothing at all.
                Ok(taken) => prop_assert_eq!(&taken, &place),
                Err(error) => prop_assert!(bytes != whole, "{}", error),
            }
            // Values, one bit of one of them.
            let mut bytes = whole.clone();
            let values = bytes.len() / 2..bytes.len();
            let at = values.start + how.0 % values.len();
            bytes[at] ^= 1 << (how.0 % 8);
            let error = take_up(&bytes).unwrap_err().to_string();
            prop_assert!(error.contains("is damaged") && error.contains("Delete it"), "{}", error);
            Ok(())
        })
        .unwrap();
}

/// Changed files of the cache are made again: the pixels are always those of the images.
#[test]
fn decoded_images() {
    let lab = Lab::new();
    let classes = ["Negative".to_owned(), "Positive".to_owned()];
    let size = ImageSize { height: 16, width: 16 };
    let cache = lab.path("cache");
    let pixels = || -> Vec<Vec<u8>> {
        let source = OpenSource::open(&Source::Folder(lab.path("pictures")), &classes).unwrap();
        let data = Dataset::load(&source, size, Interpolation::Bilinear, false, &cache, &|_, _| {}).unwrap();
        data.duplicate_groups();
        (0..data.len()).map(|image| data.pixels(image).to_vec()).collect()
    };
    let expected = pixels();
    let files = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let whole: Vec<_> = files().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&changes(), |how| {
            for (bytes, path) in &whole {
                fs::write(path, changed(std::slice::from_ref(bytes), &how)).unwrap();
            }
            prop_assert_eq!(pixels(), expected.clone());
            Ok(())
        })
        .unwrap();
}

/// Whatever is asked of the page: an answer, and none that is the page's own fault.
#[test]
fn addresses_and_forms_of_the_page() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let id = lab.run_folders("results")[0].file_name().unwrap().to_string_lossy().into_owned();
    let page = Page::open(&lab, &["--allow-edit"]);
    let run = format!("/runs/{id}");
    let of_run = ["", "/plots/", "/files/", "/data", "/annotation"].map(|part| format!("{run}{part}"));
    let paths = ["/", "/runs/", "/compare", "/sweep", "/sweeps", "/sweep/plots/", "/assets/"].map(str::to_owned);
    let paths: Vec<String> = paths.into_iter().chain(of_run).collect();
    let keys = ["q", "sort", "page", "column", "status", "run", "archived", "name", "note", "tags"];
    let part = prop_oneof![
        prop::sample::select(keys.to_vec()).prop_map(str::to_owned),
        prop::sample::select(EDGES.to_vec()).prop_map(|number| number.to_string()),
        Just(id.clone()),
        "[ -~]{0,12}",
        "%[0-9a-fA-F]{2}",
        "\\PC{0,6}",
        Just("..%2f".to_owned()),
        Just("' OR 1=1 --".to_owned()),
        Just("-1e400".to_owned()),
    ];
    let query = prop::collection::vec((part.clone(), part.clone()), 0..6);
    let strategy = (prop::sample::select(paths), part, query, any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&strategy, |(path, rest, pairs, posts)| {
            let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let pairs = pairs.join("&");
            // What would end the line or the request is escaped; everything else goes as it is.
            let plain =
                |text: &str| -> String {
                    let bytes = text.bytes();
                    bytes
                        .map(|b| {
                            if b.is_ascii_graphic() && b != b'#' {
                                (b as char).to_string()
                            } else {
                                format!("%{b:02x}")
                            }
                        })
                        .collect()
                };
            let address = format!("{path}{}", plain(&rest));
            let status = if posts {
                page.post(&address, &format!("http://{}", page.host), &pairs)
            } else {
                page.get(&format!("{address}?{}", plain(&pairs))).0
            };
            prop_assert!((200..500).contains(&status), "{} {}: {}", address, pairs, status);
            Ok(())
        })
        .unwrap();
}
