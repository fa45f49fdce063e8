//! What a data set holds, before anything is trained on it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::cache::Broken;
use super::decode::{ImageInfo, inspect};
use super::error::{DataError, ItemError};
use super::source::OpenSource;

/// A data set in figures. Counts are of usable images unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// The source as a user writes it.
    pub source: String,
    /// Identity of the data.
    pub fingerprint: String,
    /// All images that are not broken.
    pub images: usize,
    /// The classes, by index.
    pub classes: [ClassCount; 2],
    /// Index of the larger class; the second if they are equal.
    pub naive_class: usize,
    /// Accuracy of always answering the larger class; 0 without images.
    pub naive_accuracy: f64,
    /// Pixels; `None` without images.
    pub sizes: Option<Sizes>,
    /// File formats, the most frequent first.
    pub formats: Vec<Count>,
    /// How the files hold their pixels, the most frequent first.
    pub colors: Vec<Count>,
    /// Length of all files together.
    pub bytes: u64,
    /// Files with the same bytes.
    pub duplicates: Duplicates,
    /// Files that cannot be used.
    pub broken: Vec<Broken>,
    /// Files and folders left out: litter, symbolic links, files outside the class folders.
    pub ignored: usize,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: usize,
    /// Its share of all images, in 0..=1.
    pub share: f64,
}

/// How often something occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub name: String,
    /// Images.
    pub images: usize,
}

/// Sizes of the images as they are shown, in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// From the narrowest to the widest.
    pub width: Spread,
    /// From the lowest to the highest.
    pub height: Spread,
    /// Width and height that most images have.
    pub most_common: (u32, u32),
    /// How many have it.
    pub most_common_images: usize,
    /// Different sizes.
    pub different: usize,
}

/// Smallest, middle (the lower of two) and largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: u32,
    /// As many are smaller as are larger.
    pub median: u32,
    /// Largest.
    pub max: u32,
}

/// Exact duplicates: files with the same bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Contents that occur more than once.
    pub groups: usize,
    /// Images that repeat an earlier one.
    pub images: usize,
    /// Contents that occur in both classes: one label of each is wrong.
    pub contradicting_groups: usize,
    /// Images with such a content.
    pub contradicting_images: usize,
}

/// Reads and decodes every image, in parallel, and counts. `progress` gets the images done and their count; `cache_dir`
/// remembers hashes, see [`OpenSource::fingerprint`].
///
/// # Errors
/// When the source cannot be read. A broken image is no error here but part of the answer.
pub fn describe(
    source: &OpenSource,
    cache_dir: Option<&Path>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Description, DataError> {
    let fingerprint = source.fingerprint(cache_dir)?.to_string();
    let total = source.items().len();
    let done = AtomicUsize::new(0);
    let found = (0..total).into_par_iter().map(|item| {
        let found = look(source, item);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        found
    });
    let found: Vec<Result<Good, Broken>> = found.collect::<Result<_, DataError>>()?;
    let (mut good, mut broken) = (Vec::new(), Vec::new());
    for image in found {
        match image {
            Ok(image) => good.push(image),
            Err(image) => broken.push(image),
        }
    }
    let count = |class: usize| good.iter().filter(|image| image.class == class).count();
    let counts = [count(0), count(1)];
    let share = |images: usize| if good.is_empty() { 0.0 } else { images as f64 / good.len() as f64 };
    let class = |class: usize| ClassCount {
        name: source.classes()[class].clone(),
        images: counts[class],
        share: share(counts[class]),
    };
    Ok(Description {
        source: source.description().to_owned(),
        fingerprint,
        images: good.len(),
        classes: [class(0), class(1)],
        naive_class: usize::from(counts[1] >= counts[0]),
        naive_accuracy: share(counts[0].max(counts[1])),
        sizes: sizes(&good),
        formats: frequencies(good.iter().map(|image| image.info.format.to_string())),
        colors: frequencies(good.iter().map(|image| image.info.color.clone())),
        bytes: good.iter().map(|image| image.info.bytes).sum(),
        duplicates: duplicates(&good),
        broken,
        ignored: source.ignored(),
    })
}

struct Good {
    class: usize,
    content: blake3::Hash,
    info: ImageInfo,
}

fn look(source: &OpenSource, item: usize) -> Result<Result<Good, Broken>, DataError> {
    let class = source.items()[item].class;
    let broken = |reason| Ok(Err(Broken { name: source.items()[item].name.clone(), reason }));
    let bytes = match source.read(item) {
        Ok(bytes) => bytes,
        Err(ItemError::Damaged(reason)) => return broken(reason),
        Err(ItemError::Fatal(error)) => return Err(error),
    };
    match inspect(&bytes) {
        Ok(info) => Ok(Ok(Good { class, content: blake3::hash(&bytes), info })),
        Err(error) => broken(error.to_string()),
    }
}

/// The most frequent first, then by name.
fn frequencies(names: impl Iterator<Item = String>) -> Vec<Count> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<Count> = counts.into_iter().map(|(name, images)| Count { name, images }).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.images));
    counts
}

fn sizes(good: &[Good]) -> Option<Sizes> {
    let mut frequency: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for image in good {
        *frequency.entry((image.info.width, image.info.height)).or_default() += 1;
    }
    let (&most_common, &most_common_images) = frequency.iter().max_by_key(|&(_, &images)| images)?;
    Some(Sizes {
        width: spread(good.iter().map(|image| image.info.width))?,
        height: spread(good.iter().map(|image| image.info.height))?,
        most_common,
        most_common_images,
        different: frequency.len(),
    })
}

fn spread(values: impl Iterator<Item = u32>) -> Option<Spread> {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    let median = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(Spread { min: *values.first()?, median, max: *values.last()? })
}

fn duplicates(good: &[Good]) -> Duplicates {
    let mut groups: HashMap<blake3::Hash, [usize; 2]> = HashMap::new();
    for image in good {
        groups.entry(image.content).or_default()[image.class] += 1;
    }
    let mut found = Duplicates::default();
    for [negative, positive] in groups.into_values() {
        let images = negative + positive;
        found.groups += usize::from(images > 1);
        found.images += images - 1;
        if negative > 0 && positive > 0 {
            found.contradicting_groups += 1;
            found.contradicting_images += images;
        }
    }
    found
}
