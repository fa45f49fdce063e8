//! Drawn faces with planted label noise, planted near-duplicates, and the truth about both.
//!
//! Everything is a function of the settings and the image's number, so images can be drawn in parallel and one by one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use thiserror::Error;

use super::drawing::Face;
use crate::random::{Purpose, Stream};

/// The most images that names with five digits allow.
const MOST: usize = 99_999;

/// Streams of one seed: the plan, a face's look, what makes a copy differ, a picture's noise.
const PLAN: u64 = 0;
const LOOK: u64 = 1;
const COPY: u64 = 2;
const GRAIN: u64 = 3;

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Images in all.
    pub images: usize,
    /// Images labelled Positive; `None`: half of them.
    pub positive: Option<usize>,
    /// Share of the labels that are wrong.
    pub label_noise: f64,
    /// Share of the images that are near-duplicates of another.
    pub duplicates: f64,
    /// Seed of everything.
    pub seed: u64,
}

/// Why faces cannot be drawn.
#[derive(Debug, Error)]
pub enum SynthesizeError {
    /// A setting out of range.
    #[error("{0}")]
    Setting(String),
    /// The target folder has something in it.
    #[error("The folder \"{}\" is not empty. Name one that is empty or does not exist.", .0.display())]
    NotEmpty(PathBuf),
    /// A file cannot be written.
    #[error("\"{}\" cannot be written: {error}.", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The JPEG encoder refused.
    #[error("The face \"{name}\" cannot be written as a JPEG: {reason}.")]
    Encode {
        /// The image.
        name: String,
        /// What the encoder said.
        reason: String,
    },
}

/// One image that is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its place in the plan, from 0.
    pub index: usize,
    /// `face 00001.jpg`.
    pub name: String,
    /// The label it is given: 0 Negative, 1 Positive.
    pub label: usize,
    /// Whether it smiles: 0 no, 1 yes. A wrong label differs from it.
    pub truth: usize,
    /// The place in the plan of the image that this one is a near-duplicate of.
    pub duplicate_of: Option<usize>,
}

impl Settings {
    /// The fixed set `builtin:faces`: 860 labelled Positive, 770 Negative, 326 of the labels wrong.
    pub const BUILTIN_FACES: Self =
        Self { images: 1630, positive: Some(860), label_noise: 0.2, duplicates: 0.05, seed: 21 };

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`SynthesizeError::Setting`] names the setting, its range and its value.
    pub fn validate(&self) -> Result<(), SynthesizeError> {
        let wrong = |what: &str, value: String| Err(SynthesizeError::Setting(format!("{what}, but it is {value}.")));
        if !(4..=MOST).contains(&self.images) {
            return wrong(&format!("The number of images must lie between 4 and {MOST}"), self.images.to_string());
        }
        if !(0.0..=0.5).contains(&self.label_noise) {
            return wrong("The share of wrong labels must lie between 0 and 0.5", self.label_noise.to_string());
        }
        if !(0.0..=0.5).contains(&self.duplicates) {
            return wrong("The share of near-duplicates must lie between 0 and 0.5", self.duplicates.to_string());
        }
        match self.positive {
            Some(positive) if positive > self.images => {
                wrong(&format!("Of {} images at most as many can be Positive", self.images), positive.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// The images of some settings, without drawing them.
///
/// `label_noise` of the labels are wrong, the same share in both labels as near as whole numbers allow, and chosen
/// without regard to the look, so that nothing can call more than `1 - label_noise` of them right but by luck.
pub fn plan(settings: &Settings) -> Vec<Planned> {
    let positive = settings.positive.unwrap_or(settings.images / 2).min(settings.images);
    let share = |count: usize, part: f64| (count as f64 * part).round() as usize;
    let wrong = share(settings.images, settings.label_noise);
    let wrong_positive = share(positive, settings.label_noise).min(wrong);
    let mut labels: Vec<(usize, bool)> = (0..positive).map(|i| (1, i < wrong_positive)).collect();
    labels.extend((0..settings.images - positive).map(|i| (0, i < wrong - wrong_positive)));
    let mut stream = Stream::new(settings.seed, Purpose::Synthesis, PLAN, 0);
    stream.shuffle(&mut labels);
    let mut planned: Vec<Planned> = labels
        .into_iter()
        .enumerate()
        .map(|(index, (label, is_wrong))| Planned {
            index,
            name: format!("face {:05}.jpg", index + 1),
            label,
            truth: if is_wrong { 1 - label } else { label },
            duplicate_of: None,
        })
        .collect();
    plant_duplicates(&mut planned, share(settings.images, settings.duplicates), &mut stream);
    planned
}

/// Makes `count` images near-duplicates of others with the same truth. Labels stay as they are, so that where labels are
/// wrong some duplicates contradict each other.
fn plant_duplicates(planned: &mut [Planned], count: usize, stream: &mut Stream) {
    let mut order: Vec<usize> = (0..planned.len()).collect();
    stream.shuffle(&mut order);
    let (copies, originals) = order.split_at(count);
    for &copy in copies {
        let alike: Vec<usize> =
            originals.iter().copied().filter(|&original| planned[original].truth == planned[copy].truth).collect();
        if !alike.is_empty() {
            planned[copy].duplicate_of = Some(alike[stream.below(alike.len() as u64) as usize]);
        }
    }
}

/// The JPEG of a planned image.
///
/// # Errors
/// [`SynthesizeError::Encode`] if the encoder refuses, which it has no reason to.
pub fn render(settings: &Settings, planned: &Planned) -> Result<Vec<u8>, SynthesizeError> {
    let stream = |kind: u64, index: usize| Stream::new(settings.seed, Purpose::Synthesis, kind, index as u64);
    let original = planned.duplicate_of.unwrap_or(planned.index);
    let mut face = Face::draw(&mut stream(LOOK, original), planned.truth == 1);
    if planned.duplicate_of.is_some() {
        face = face.nearly(&mut stream(COPY, planned.index));
    }
    let mut grain = stream(GRAIN, planned.index);
    let quality = 60 + grain.below(36) as u8;
    let picture = face.picture(&mut grain);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|error| SynthesizeError::Encode { name: planned.name.clone(), reason: error.to_string() })?;
    Ok(bytes)
}

/// Draws all images into a folder for each class of `to`, with `truth.csv` beside them. `progress` gets the images done.
///
/// # Errors
/// When a setting is out of range, `to` is not empty, or a file cannot be written.
pub fn write_folder(
    settings: &Settings,
    to: &Path,
    classes: &[String; 2],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<(), SynthesizeError> {
    settings.validate()?;
    let write = |path: &Path| {
        let path = path.to_owned();
        move |error| SynthesizeError::Write { path, error }
    };
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(SynthesizeError::NotEmpty(to.to_owned()));
    }
    for class in classes {
        let folder = to.join(class);
        fs::create_dir_all(&folder).map_err(write(&folder))?;
    }
    let planned = plan(settings);
    let done = AtomicUsize::new(0);
    planned.par_iter().try_for_each(|image| {
        let path = to.join(&classes[image.label]).join(&image.name);
        fs::write(&path, render(settings, image)?).map_err(write(&path))?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(())
    })?;
    let path = to.join("truth.csv");
    fs::write(&path, truth_csv(&planned, classes)).map_err(write(&path))
}

/// What is planted, one image a line.
fn truth_csv(planned: &[Planned], classes: &[String; 2]) -> String {
    let mut text = String::from("file,label,truth,label_is_wrong,duplicate_of\n");
    for image in planned {
        let path = |image: &Planned| format!("{}/{}", classes[image.label], image.name);
        let original = image.duplicate_of.map(|original| path(&planned[original])).unwrap_or_default();
        text += &format!(
            "{},{},{},{},{original}\n",
            path(image),
            classes[image.label],
            classes[image.truth],
            image.label != image.truth
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_faces_have_the_counts_that_their_description_says() {
        let planned = plan(&Settings::BUILTIN_FACES);
        let count = |test: &dyn Fn(&Planned) -> bool| planned.iter().filter(|image| test(image)).count();
        assert_eq!(planned.len(), 1630);
        assert_eq!(count(&|image| image.label == 1), 860);
        assert_eq!(count(&|image| image.label != image.truth), 326);
        assert_eq!(count(&|image| image.label == 1 && image.truth == 0), 172);
        assert_eq!(count(&|image| image.duplicate_of.is_some()), 82);
        let contradicting = |image: &Planned| image.duplicate_of.is_some_and(|o| planned[o].label != image.label);
        assert!(count(&contradicting) > 10, "some duplicates contradict each other");
    }

    #[test]
    fn a_face_is_the_same_bytes_whoever_draws_it_and_whenever() {
        let settings = Settings::BUILTIN_FACES;
        let planned = plan(&settings);
        let once: Vec<_> = planned[..8].iter().map(|image| render(&settings, image).unwrap()).collect();
        let again: Vec<_> = planned[..8].par_iter().rev().map(|image| render(&settings, image).unwrap()).collect();
        assert!(once.iter().eq(again.iter().rev()));
        assert!(image::load_from_memory(&once[0]).is_ok());
    }

    #[test]
    fn a_near_duplicate_looks_like_its_original_and_has_its_truth() {
        let settings = Settings { images: 40, positive: None, label_noise: 0.0, duplicates: 0.5, seed: 3 };
        let planned = plan(&settings);
        let thumbnail = |image: &Planned| {
            let picture = image::load_from_memory(&render(&settings, image).unwrap()).unwrap();
            picture.resize_exact(8, 8, image::imageops::Triangle).to_luma8().into_raw()
        };
        let distance = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 64.0;
        let mirrored = |pixels: &[u8]| pixels.chunks(8).flat_map(|row| row.iter().rev().copied()).collect::<Vec<_>>();
        for copy in planned.iter().filter(|image| image.duplicate_of.is_some()) {
            let original = &planned[copy.duplicate_of.unwrap()];
            assert_eq!(copy.truth, original.truth);
            let (a, b) = (thumbnail(copy), thumbnail(original));
            assert!(distance(&a, &b).min(distance(&mirrored(&a), &b)) < 30.0, "{}", copy.name);
        }
    }
}
