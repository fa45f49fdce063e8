//! What is wrong with a data set, before it is blamed on the network.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cache::{Broken, Dataset};
use super::duplicates::{labels_of_groups, leaked};
use super::split::Split;
use crate::evaluate::{Ceiling, label_ceiling};

/// Shorter sides than this, in pixels, leave little to see.
const TINY: u32 = 32;
/// Longer sides in shorter ones, from which an image is mostly squeezed.
const ODD_ASPECT: f64 = 3.0;
/// Contrast under which an image is blank.
const BLANK: f32 = 0.02;
/// Mean brightness under which an image is dark.
const DARK: f32 = 0.08;

/// Images that are the same picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Their places in the data set.
    #[serde(skip)]
    pub images: Vec<usize>,
    /// Their names.
    pub names: Vec<String>,
    /// Their labels.
    pub labels: Vec<usize>,
    /// Whether the files have the same content.
    pub exact: bool,
}

/// An image that looks odd, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Odd {
    /// Its place in the data set.
    #[serde(skip)]
    pub image: usize,
    /// Its name.
    pub name: String,
    /// What is odd.
    pub reason: String,
}

/// The findings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// The source as a user writes it.
    pub source: String,
    /// Identity of the data.
    pub fingerprint: String,
    /// Usable images.
    pub images: usize,
    /// Names of the classes.
    pub classes: [String; 2],
    /// Files that cannot be used.
    pub broken: Vec<Broken>,
    /// Pictures that occur more than once, the largest group first.
    pub groups: Vec<Group>,
    /// Images that repeat an earlier file exactly.
    pub exact_duplicates: usize,
    /// Images that repeat an earlier picture without being the same file.
    pub near_duplicates: usize,
    /// Groups with both labels.
    pub contradicting_groups: usize,
    /// Images in them.
    pub contradicting_images: usize,
    /// The accuracy that these contradictions allow; `None` when there are too few pairs to tell.
    pub ceiling: Option<Ceiling>,
    /// Test images of the split that look like a training image.
    pub leaked: Vec<String>,
    /// Test images of the split.
    pub test_images: usize,
    /// Tiny, squeezed, blank and dark images.
    pub odd: Vec<Odd>,
}

/// Looks through a data set of any size, and at what its split lets through.
pub fn audit(source: &str, classes: &[String; 2], dataset: &Dataset, split: &Split) -> Audit {
    let numbers = dataset.duplicate_groups();
    let groups = groups(dataset, &numbers);
    let repeats: usize = groups.iter().map(|group| group.images.len() - 1).sum();
    let contradicting = || groups.iter().filter(|group| group.labels.iter().any(|&label| label != group.labels[0]));
    let labels: Vec<usize> = (0..dataset.len()).map(|image| dataset.label(image)).collect();
    let mut contents: Vec<&[u8; 32]> = (0..dataset.len()).map(|image| dataset.content_hash(image)).collect();
    contents.sort_unstable();
    contents.dedup();
    let exact_duplicates = dataset.len() - contents.len();
    let leaked = leaked(&numbers, &split.train, &split.test);
    Audit {
        source: source.to_owned(),
        fingerprint: dataset.fingerprint().to_string(),
        images: dataset.len(),
        classes: classes.clone(),
        broken: dataset.broken().to_vec(),
        exact_duplicates,
        near_duplicates: repeats.saturating_sub(exact_duplicates),
        contradicting_groups: contradicting().count(),
        contradicting_images: contradicting().map(|group| group.images.len()).sum(),
        ceiling: label_ceiling(&labels_of_groups(&numbers, &labels)),
        leaked: leaked.into_iter().map(|image| dataset.name(image).to_owned()).collect(),
        test_images: split.test.len(),
        odd: (0..dataset.len()).filter_map(|image| odd(dataset, image)).collect(),
        groups,
    }
}

fn groups(dataset: &Dataset, numbers: &[usize]) -> Vec<Group> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (image, &number) in numbers.iter().enumerate() {
        members.entry(number).or_default().push(image);
    }
    let group = |images: Vec<usize>| Group {
        names: images.iter().map(|&image| dataset.name(image).to_owned()).collect(),
        labels: images.iter().map(|&image| dataset.label(image)).collect(),
        exact: images.iter().all(|&image| dataset.content_hash(image) == dataset.content_hash(images[0])),
        images,
    };
    let mut groups: Vec<Group> = members.into_values().filter(|images| images.len() > 1).map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.images.len()));
    groups
}

fn odd(dataset: &Dataset, image: usize) -> Option<Odd> {
    let (info, look) = (dataset.info(image), dataset.look(image));
    let (short, long) = (info.width.min(info.height), info.width.max(info.height));
    let size = format!("{}x{} pixels", info.width, info.height);
    let mut reasons = Vec::new();
    if short < TINY {
        reasons.push(format!("tiny: {size}"));
    }
    if f64::from(long) > ODD_ASPECT * f64::from(short) {
        reasons.push(format!("squeezed: {size}"));
    }
    if look.contrast < BLANK {
        reasons.push(format!("blank: contrast {:.3}", look.contrast));
    } else if look.brightness < DARK {
        reasons.push(format!("dark: brightness {:.3}", look.brightness));
    }
    let name = dataset.name(image).to_owned();
    (!reasons.is_empty()).then(|| Odd { image, name, reason: reasons.join(", ") })
}
