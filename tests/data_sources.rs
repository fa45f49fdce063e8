//! Data from anywhere: every kind of source and file is read, everything odd is refused in words.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use emo_runner::config::{ImageSize, Interpolation, Source};
use emo_runner::data::decode::{DecodeError, Decoded, decode, inspect};
use emo_runner::data::describe::describe;
use emo_runner::data::source::OpenSource;
use emo_runner::data::unpack::unpack;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const SIZE: ImageSize = ImageSize { height: 16, width: 16 };

fn classes() -> [String; 2] {
    ["Negative".to_owned(), "Positive".to_owned()]
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.into().write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn picture(shade: u8) -> Vec<u8> {
    encoded(RgbImage::from_pixel(20, 10, Rgb([shade, 100, 50])), ImageFormat::Png)
}

/// The files that most tests begin with.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("Negative/a.png", picture(1)),
        ("Negative/b copy.png", picture(2)),
        ("Positive/a.png", picture(3)),
        ("Positive/b.png", picture(4)),
        ("Positive/c.png", picture(5)),
    ]
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn zip_bytes(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn archive(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data set.zip");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open_folder(path: &Path) -> Result<OpenSource, String> {
    OpenSource::open(&Source::Folder(path.to_owned()), &classes()).map_err(|error| error.to_string())
}

fn open_zip(bytes: &[u8]) -> Result<OpenSource, String> {
    let (_folder, path) = archive(bytes);
    OpenSource::open(&Source::Zip(path), &classes()).map_err(|error| error.to_string())
}

fn names(source: &OpenSource) -> Vec<&str> {
    source.items().iter().map(|item| item.name.as_str()).collect()
}

fn decoded(bytes: &[u8]) -> Decoded {
    decode(bytes, SIZE, Interpolation::Bilinear).unwrap()
}

fn pixel(image: &Decoded, row: usize, column: usize) -> [u8; 3] {
    let start = (row * SIZE.width + column) * 3;
    [image.pixels[start], image.pixels[start + 1], image.pixels[start + 2]]
}

fn near(a: [u8; 3], b: [u8; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 6)
}

/// Replaces bytes by as many others.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for start in 0..bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0);
    bytes
}

#[test]
fn a_folder_and_an_archive_of_it_are_the_same_data() {
    let folder = folder(&files());
    let source = open_folder(folder.path()).unwrap();
    assert_eq!(
        names(&source),
        ["Negative/a.png", "Negative/b copy.png", "Positive/a.png", "Positive/b.png", "Positive/c.png"]
    );
    assert_eq!(source.items().iter().map(|item| item.class).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
    let mut packed: Vec<(String, Vec<u8>)> =
        files().into_iter().rev().map(|(name, bytes)| (format!("dataset 50:50/{name}"), bytes)).collect();
    packed.push(("__MACOSX/dataset 50:50/Positive/._a.png".to_owned(), b"litter".to_vec()));
    packed.push(("dataset 50:50/.DS_Store".to_owned(), b"litter".to_vec()));
    packed.push(("dataset 50:50/Positive/Thumbs.db".to_owned(), b"litter".to_vec()));
    let packed: Vec<(&str, Vec<u8>)> = packed.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let (_place, path) = archive(&zip_bytes(&packed));
    let zipped = OpenSource::open(&Source::Zip(path), &classes()).unwrap();
    assert_eq!(zipped.items(), source.items());
    assert_eq!(zipped.ignored(), 3);
    assert_eq!(zipped.fingerprint(None).unwrap(), source.fingerprint(None).unwrap());
    for item in 0..source.items().len() {
        assert_eq!(zipped.read(item).unwrap(), source.read(item).unwrap());
    }
}

#[test]
fn a_fingerprint_depends_on_names_labels_and_contents() {
    let of = |files: &[(&str, Vec<u8>)]| open_folder(folder(files).path()).unwrap().fingerprint(None).unwrap();
    let original = of(&files());
    assert_eq!(original, of(&files()));
    assert_eq!(original.to_string().len(), 64);
    let mut other = files();
    other[0].1 = picture(99);
    assert_ne!(original, of(&other));
    let mut other = files();
    other[0].0 = "Negative/x.png";
    assert_ne!(original, of(&other));
    let swapped = folder(&files());
    let swapped =
        OpenSource::open(&Source::Folder(swapped.path().to_owned()), &["Positive".to_owned(), "Negative".to_owned()]);
    assert_ne!(original, swapped.unwrap().fingerprint(None).unwrap());
}

#[test]
fn a_remembered_hash_is_not_used_for_a_file_that_changed() {
    let cache = TempDir::new().unwrap();
    let folder = folder(&files());
    let fingerprint = || open_folder(folder.path()).unwrap().fingerprint(Some(cache.path())).unwrap();
    let first = fingerprint();
    assert_eq!(first, fingerprint());
    let memo = fs::read_dir(cache.path().join("fingerprints")).unwrap().next().unwrap().unwrap().path();
    assert!(memo.extension().is_some_and(|extension| extension == "json"));
    // The same length and, where the clock is coarse, the same time.
    fs::write(folder.path().join("Positive/a.png"), picture(77)).unwrap();
    let second = fingerprint();
    assert_ne!(first, second);
    fs::write(&memo, "{ broken").unwrap();
    assert_eq!(second, fingerprint());
    assert_ne!(fs::read(&memo).unwrap(), b"{ broken");
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_not_followed() {
    let outside = folder(&[("secret.png", picture(9))]);
    let folder = folder(&files());
    std::os::unix::fs::symlink(outside.path().join("secret.png"), folder.path().join("Positive/link.png")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("Negative/more")).unwrap();
    let source = open_folder(folder.path()).unwrap();
    assert_eq!(source.items().len(), 5);
    assert_eq!(source.ignored(), 2);
}

#[test]
fn what_is_not_a_data_folder_is_refused_with_advice() {
    let place = folder(&[("faces/Positive/a.png", picture(1)), ("file", vec![1])]);
    let error = |name: &str| open_folder(&place.path().join(name)).unwrap_err();
    assert!(error("facse").contains("does not exist") && error("facse").contains("faces\"?"), "{}", error("facse"));
    assert!(error("file").contains("is a file, not a folder"), "{}", error("file"));
    assert!(error("faces").contains("no folder for class \"Negative\""), "{}", error("faces"));
    let one_class = error("faces/Positive");
    assert!(one_class.contains("give the folder around it"), "{one_class}");
    let zip = OpenSource::open(&Source::Zip(place.path().join("faces")), &classes()).unwrap_err().to_string();
    assert!(zip.contains("is not a file"), "{zip}");
}

#[test]
fn a_built_in_source_has_its_own_classes() {
    let source = OpenSource::open(&Source::Emoji, &classes()).unwrap();
    let positive = source.items().iter().filter(|item| item.class == 1).count();
    assert_eq!((source.items().len(), positive), (756, 396));
    assert!(names(&source).contains(&"Negative/1f602 face with tears of joy.png"));
    assert!(names(&source).contains(&"Positive/2764 heavy black heart.png"));
    assert!(source.items().is_sorted());
    let error = OpenSource::open(&Source::Emoji, &["no".to_owned(), "yes".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("builtin:emoji") && error.contains("\"no\", \"yes\""), "{error}");
}

#[test]
fn an_emoji_stands_on_white() {
    let source = OpenSource::open(&Source::Emoji, &classes()).unwrap();
    let item = source.items().iter().position(|item| item.name.ends_with("1f602 face with tears of joy.png")).unwrap();
    let image = decoded(&source.read(item).unwrap());
    assert_eq!(pixel(&image, 0, 0), [255, 255, 255]);
    assert_ne!(pixel(&image, 8, 8), [255, 255, 255]);
}

#[test]
fn hostile_archives_are_refused() {
    let plain = zip_bytes(&files());
    assert!(open_zip(&plain).is_ok());
    let refused = |bytes: &[u8], words: &str| {
        let error = open_zip(bytes).err().unwrap_or_else(|| panic!("not refused: {words}"));
        assert!(error.contains("is refused") && error.contains(words), "{error}");
    };
    refused(&patched(&plain, b"Negative/a.png", b"../ative/a.png"), "leads out");
    refused(&patched(&plain, b"Negative/a.png", b"/egative/a.png"), "absolute");
    refused(&patched(&plain, b"Negative/a.png", b"C:/ative/a.png"), "drive");
    refused(&patched(&plain, b"Positive/a.png", b"Positive/b.png"), "same name");
    refused(&patched(&plain, b"Positive/a.png", b"Positive\\b.png"), "are named \"Positive/b.png\"");
    refused(&plain[..plain.len() / 2], "cut off");
    refused(b"PK\x03\x04 and nothing else", "no ZIP file");
    refused(&[], "no ZIP file");
    // Flags of an entry in the central directory: bit 0 says encrypted.
    let mut encrypted = plain.clone();
    let entry = (0..plain.len()).find(|&at| plain[at..].starts_with(b"PK\x01\x02")).unwrap();
    encrypted[entry + 8] |= 1;
    refused(&encrypted, "encrypted");

    let mut zip = ZipWriter::new(Cursor::new(zip_bytes(&files())));
    zip = ZipWriter::new_append(zip.finish().unwrap()).unwrap();
    zip.add_symlink("Positive/link.png", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    refused(&zip.finish().unwrap().into_inner(), "symbolic link");

    let mut bomb = files();
    bomb.push(("Positive/bomb.bmp", vec![0; 8 << 20]));
    refused(&zip_bytes(&bomb), "200 times");
}

#[test]
fn an_entry_is_held_to_its_size_and_checksum() {
    let mut noise: Vec<u8> = (0..60_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    noise.extend([0; 40_000]);
    let mut files = files();
    files.push(("Positive/z.png", noise.clone()));
    let bytes = zip_bytes(&files);
    let read_last = |bytes: &[u8]| {
        let (_folder, path) = archive(bytes);
        let source = OpenSource::open(&Source::Zip(path), &classes()).unwrap();
        source.read(5).map(|bytes| bytes.into_owned()).map_err(|error| error.to_string())
    };
    assert_eq!(read_last(&bytes).unwrap(), noise);
    let lie = patched(&bytes, &100_000_u32.to_le_bytes(), &1_000_u32.to_le_bytes());
    assert!(read_last(&lie).unwrap_err().contains("entry in the archive"));
    let lie = patched(&bytes, &100_000_u32.to_le_bytes(), &200_000_u32.to_le_bytes());
    assert!(read_last(&lie).unwrap_err().contains("entry in the archive"));
    let crc = u32::from_le_bytes({
        let entry = (0..bytes.len()).rfind(|&at| bytes[at..].starts_with(b"PK\x01\x02")).unwrap();
        bytes[entry + 16..entry + 20].try_into().unwrap()
    });
    let damaged = patched(&bytes, &crc.to_le_bytes(), &(crc ^ 1).to_le_bytes());
    assert!(read_last(&damaged).unwrap_err().contains("damaged"));
}

#[test]
fn every_format_becomes_rgb() {
    let rgb = RgbImage::from_fn(32, 32, |x, _| if x < 16 { Rgb([200, 20, 20]) } else { Rgb([20, 20, 200]) });
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP] {
        let image = decoded(&encoded(rgb.clone(), format));
        assert!(near(pixel(&image, 8, 3), [200, 20, 20]), "{format:?} {:?}", pixel(&image, 8, 3));
        assert!(near(pixel(&image, 8, 12), [20, 20, 200]), "{format:?}");
        assert_eq!((image.info.width, image.info.height), (32, 32));
    }
    let gray = GrayImage::from_pixel(10, 10, Luma([90]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        assert!(near(pixel(&decoded(&encoded(gray.clone(), format)), 5, 5), [90, 90, 90]));
    }
    let deep = image::ImageBuffer::<Luma<u16>, _>::from_pixel(10, 10, Luma([90 * 257]));
    assert_eq!(pixel(&decoded(&encoded(deep, ImageFormat::Png)), 5, 5), [90, 90, 90]);
    let deep = image::ImageBuffer::<Rgb<u16>, _>::from_pixel(10, 10, Rgb([65535, 0, 128 * 257]));
    assert_eq!(pixel(&decoded(&encoded(deep, ImageFormat::Png)), 5, 5), [255, 0, 128]);
}

#[test]
fn transparency_is_laid_on_white() {
    let image = RgbaImage::from_fn(16, 16, |x, _| match x {
        0..4 => Rgba([255, 0, 0, 255]),
        4..8 => Rgba([255, 0, 0, 0]),
        _ => Rgba([0, 0, 0, 128]),
    });
    let image = decoded(&encoded(image, ImageFormat::Png));
    assert_eq!(pixel(&image, 8, 1), [255, 0, 0]);
    assert_eq!(pixel(&image, 8, 5), [255, 255, 255]);
    assert_eq!(pixel(&image, 8, 12), [127, 127, 127]);
}

#[test]
fn a_palette_with_transparency_is_understood() {
    // Two colours, red and a transparent green; 4x4, the left half red.
    let mut bytes = Vec::new();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        bytes.extend((data.len() as u32).to_be_bytes());
        let body = [kind, data].concat();
        bytes.extend(&body);
        let crc = body.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        });
        bytes.extend((!crc).to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 4, 0, 0, 0, 4, 1, 3, 0, 0, 0]);
    chunk(b"PLTE", &[255, 0, 0, 0, 255, 0]);
    chunk(b"tRNS", &[255, 0]);
    // Stored deflate block in a zlib frame: four rows of filter 0 and pixels 0011.
    let raw = [0, 0b0011_0000].repeat(4);
    let adler = raw.iter().fold((1_u32, 0_u32), |(a, b), &byte| ((a + u32::from(byte)), (b + a + u32::from(byte))));
    let mut data = vec![0x78, 0x01, 1, 8, 0, 0xf7, 0xff];
    data.extend(raw);
    data.extend((adler.1 << 16 | adler.0).to_be_bytes());
    chunk(b"IDAT", &data);
    chunk(b"IEND", &[]);
    let image = decoded(&[b"\x89PNG\r\n\x1a\n".to_vec(), bytes].concat());
    assert_eq!(pixel(&image, 8, 1), [255, 0, 0]);
    assert_eq!(pixel(&image, 8, 14), [255, 255, 255]);
}

#[test]
fn cmyk_and_orientation_are_understood() {
    let image = decoded(include_bytes!("fixtures/cmyk.jpg"));
    assert!(pixel(&image, 8, 2)[0] > 220 && pixel(&image, 8, 2)[1] < 40, "{:?}", pixel(&image, 8, 2));
    assert!(near(pixel(&image, 8, 14), [255, 255, 255]), "{:?}", pixel(&image, 8, 14));
    let image = decoded(include_bytes!("fixtures/exif6.jpg"));
    assert_eq!((image.info.width, image.info.height), (8, 16));
    assert!(pixel(&image, 2, 8)[0] > 200 && pixel(&image, 13, 8)[2] > 200);
}

#[test]
fn resizing_equals_pillow() {
    let cases: serde_json::Value = serde_json::from_str(include_str!("reference/resize.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let bytes = |key: &str| -> Vec<u8> {
            case[key].as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as u8).collect()
        };
        let image = RgbImage::from_raw(number("width") as u32, number("height") as u32, bytes("pixels")).unwrap();
        let size = ImageSize { height: number("to_height"), width: number("to_width") };
        let interpolation = match case["interpolation"].as_str().unwrap() {
            "bilinear" => Interpolation::Bilinear,
            _ => Interpolation::Nearest,
        };
        let decoded = decode(&encoded(image, ImageFormat::Png), size, interpolation).unwrap();
        assert!(decoded.pixels == bytes("expected"), "{interpolation} to {size}");
    }
}

#[test]
fn broken_files_say_what_is_wrong_with_them() {
    let error = |bytes: &[u8]| inspect(bytes).unwrap_err();
    assert_eq!(error(b""), DecodeError::Empty);
    assert!(error(b"hello there").to_string().contains("is text"));
    assert!(error(b"<html><body>404</body></html>").to_string().contains("an HTML page"));
    assert!(error(b"II*\0aaaaaaaaaaaa").to_string().contains("a TIFF image"));
    assert!(error(&[7; 100]).to_string().contains("JPEG, PNG, WebP, BMP or GIF"));
    let noisy = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, (x * 7) as u8, (y * 11) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP] {
        let bytes = encoded(noisy.clone(), format);
        assert!(inspect(&bytes).is_ok());
        for share in [4, 3, 2] {
            let cut = &bytes[..bytes.len() / share];
            assert!(inspect(cut).is_err(), "{format:?} cut to {} of {}", cut.len(), bytes.len());
        }
    }
}

#[test]
fn huge_dimensions_are_refused_from_the_header() {
    let mut png = picture(1);
    // Width and height of the header, and its checksum.
    let header: Vec<u8> =
        [&b"IHDR"[..], &60_000_u32.to_be_bytes(), &50_000_u32.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    png[12..29].copy_from_slice(&header);
    let crc = header.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    assert_eq!(inspect(&png).unwrap_err(), DecodeError::TooLarge { width: 60_000, height: 50_000 });
    let mut bmp = encoded(RgbImage::new(4, 4), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&12_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&12_000_u32.to_le_bytes());
    assert_eq!(inspect(&bmp).unwrap_err(), DecodeError::TooLarge { width: 12_000, height: 12_000 });
}

#[test]
fn a_description_counts_what_matters() {
    let mut files = files();
    files.push(("Negative/same as positive.png", picture(3)));
    files.push(("Positive/again.png", picture(4)));
    files.push(("Positive/broken.jpg", b"\xff\xd8\xff\xe0 no".to_vec()));
    files.push(("Positive/large.jpg", encoded(RgbImage::new(60, 50), ImageFormat::Jpeg)));
    files.push((".DS_Store", vec![0]));
    let folder = folder(&files);
    let description = describe(&open_folder(folder.path()).unwrap(), None, &|_, _| {}).unwrap();
    assert_eq!(description.images, 8);
    assert_eq!(description.classes.clone().map(|class| class.images), [3, 5]);
    assert_eq!((description.naive_class, description.naive_accuracy), (1, 0.625));
    let sizes = description.sizes.clone().unwrap();
    assert_eq!((sizes.width.min, sizes.width.median, sizes.width.max), (20, 20, 60));
    assert_eq!((sizes.most_common, sizes.most_common_images, sizes.different), ((20, 10), 7, 2));
    assert_eq!(description.formats.iter().map(|count| count.images).collect::<Vec<_>>(), [7, 1]);
    let duplicates = description.duplicates;
    assert_eq!((duplicates.groups, duplicates.images), (2, 2));
    assert_eq!((duplicates.contradicting_groups, duplicates.contradicting_images), (1, 2));
    assert_eq!(description.broken.len(), 1);
    assert_eq!(description.broken[0].name, "Positive/broken.jpg");
    assert_eq!(description.ignored, 1);
    assert!(serde_json::to_value(&description).unwrap()["duplicates"]["groups"].is_number());
}

#[test]
fn unpacking_gives_the_same_data_back_and_overwrites_nothing() {
    let (_place, path) = archive(&zip_bytes(&files()));
    let source = OpenSource::open(&Source::Zip(path), &classes()).unwrap();
    let to = TempDir::new().unwrap();
    assert_eq!(unpack(&source, to.path()).unwrap(), 5);
    let unpacked = open_folder(to.path()).unwrap();
    assert_eq!(unpacked.fingerprint(None).unwrap(), source.fingerprint(None).unwrap());
    let error = unpack(&source, to.path()).unwrap_err().to_string();
    assert!(error.contains("not an empty folder"), "{error}");
    assert!(unpack(&source, &to.path().join("Positive/a.png")).is_err());
}

#[test]
fn files_of_the_same_name_in_two_sets_are_both_unpacked() {
    let set = |set: &'static str| files().into_iter().map(move |(name, bytes)| (format!("{set}/{name}"), bytes));
    let files: Vec<(String, Vec<u8>)> = set("train").chain(set("valid")).collect();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let folder = folder(&files);
    let source = open_folder(folder.path()).unwrap();
    assert_eq!(source.items().len(), 10);
    let to = TempDir::new().unwrap();
    assert_eq!(unpack(&source, &to.path().join("new")).unwrap(), 10);
    assert!(to.path().join("new/Positive/a (2).png").exists());
}
