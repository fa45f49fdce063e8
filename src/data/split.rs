//! Which images are trained on, chosen by, and tested with.

use std::collections::HashMap;

use super::error::DataError;
use crate::random::{Purpose, Stream};

/// Indices of a data set, each in one part, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What the network learns from.
    pub train: Vec<usize>,
    /// What stopping and choosing look at; empty unless a share was asked for.
    pub validation: Vec<usize>,
    /// What the result is measured on, and nothing else.
    pub test: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

/// How large the parts are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Share of every class that goes to the test set; means nothing with a `fold`.
    pub test: f64,
    /// Share of what is left of every class that goes to the validation set.
    pub validation: f64,
    /// Cross-validation: fold number, from 1, and number of folds.
    pub fold: Option<(usize, usize)>,
}

/// Deals out images, stratified: each class is shuffled by `seed`, the first floor(n · `test`) of its n images go to the
/// test set, of the m left the first floor(m · `validation`) to the validation set, the rest to training.
///
/// In fold i of k the test set is the i-th of k pieces of each class' shuffled images, so that every image is tested once.
///
/// `labels` are class indices, `groups` (one number an image) keeps images together: a whole group goes where its first
/// member, the one with the lowest index, falls. The parts then differ from their shares by at most what their groups
/// bring along, and a class' share by as much.
///
/// # Errors
/// [`DataError::EmptyPart`] when a part with a share above 0 would lack a class.
pub fn split(labels: &[usize], groups: Option<&[usize]>, seed: u64, shares: Shares) -> Result<Split, DataError> {
    let test = shares.fold.map_or(shares.test, |(_, folds)| 1.0 / folds as f64);
    let validation = shares.validation;
    let classes = labels.iter().max().map_or(0, |&last| last + 1).max(2);
    let mut parts = vec![Part::Train; labels.len()];
    for class in 0..classes {
        let mut images: Vec<usize> = (0..labels.len()).filter(|&image| labels[image] == class).collect();
        Stream::new(seed, Purpose::Split, 0, class as u64).shuffle(&mut images);
        let in_test = match shares.fold {
            None => share(images.len(), test),
            Some((fold, folds)) => {
                let start = images.len() * (fold - 1) / folds;
                images.rotate_left(start);
                images.len() * fold / folds - start
            }
        };
        let in_validation = share(images.len() - in_test, validation);
        for (place, &image) in images.iter().enumerate() {
            parts[image] = match place {
                _ if place < in_test => Part::Test,
                _ if place < in_test + in_validation => Part::Validation,
                _ => Part::Train,
            };
        }
    }
    if let Some(groups) = groups {
        let mut first: HashMap<usize, Part> = HashMap::new();
        for (part, &group) in parts.iter_mut().zip(groups) {
            *part = *first.entry(group).or_insert(*part);
        }
    }
    require_every_class(labels, &parts, classes, test, validation)?;
    let of = |wanted: Part| (0..parts.len()).filter(|&image| parts[image] == wanted).collect();
    Ok(Split { train: of(Part::Train), validation: of(Part::Validation), test: of(Part::Test) })
}

/// floor(`images` · `share`), where a product that is a whole number but for rounding counts as that number.
fn share(images: usize, share: f64) -> usize {
    ((images as f64 * share + 1e-9).floor() as usize).min(images)
}

fn require_every_class(
    labels: &[usize],
    parts: &[Part],
    classes: usize,
    test: f64,
    validation: f64,
) -> Result<(), DataError> {
    let wanted = [(Part::Test, "test", test > 0.0), (Part::Validation, "validation", validation > 0.0)];
    for class in 0..classes {
        for (part, name, wanted) in wanted.into_iter().chain([(Part::Train, "training", true)]) {
            let found = labels.iter().zip(parts).any(|(&label, &of)| label == class && of == part);
            if wanted && !found {
                let images = labels.iter().filter(|&&label| label == class).count();
                return Err(DataError::EmptyPart { part: name, class, images, test, validation });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(negative: usize, positive: usize) -> Vec<usize> {
        [vec![0; negative], vec![1; positive]].concat()
    }

    fn shares(test: f64, validation: f64) -> Shares {
        Shares { test, validation, fold: None }
    }

    fn count(labels: &[usize], part: &[usize]) -> [usize; 2] {
        let positive = part.iter().filter(|&&image| labels[image] == 1).count();
        [part.len() - positive, positive]
    }

    #[test]
    fn each_class_gives_the_floor_of_its_share_to_the_test_set() {
        let labels = labels(770, 860);
        let split = split(&labels, None, 21, shares(0.2, 0.0)).unwrap();
        assert_eq!(count(&labels, &split.test), [154, 172]);
        assert_eq!(count(&labels, &split.train), [616, 688]);
        assert!(split.validation.is_empty());
    }

    #[test]
    fn every_image_is_in_exactly_one_part() {
        let labels = labels(57, 91);
        let split = split(&labels, None, 3, shares(0.25, 0.1)).unwrap();
        let mut all = [split.train.clone(), split.validation.clone(), split.test.clone()].concat();
        assert!(split.train.is_sorted() && split.validation.is_sorted() && split.test.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..148).collect::<Vec<_>>());
        assert_eq!(count(&labels, &split.test), [14, 22]);
        assert_eq!(count(&labels, &split.validation), [4, 6]);
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let labels = labels(100, 100);
        let of = |seed| split(&labels, None, seed, shares(0.2, 0.2)).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).test, of(2).test);
    }

    #[test]
    fn a_product_that_rounds_down_by_accident_still_counts() {
        for images in 1..2000 {
            for tenths in 1..10 {
                assert_eq!(share(images, f64::from(tenths) / 10.0), images * tenths as usize / 10);
            }
        }
        assert_eq!(share(100, 0.29), 29);
    }

    #[test]
    fn a_class_missing_from_a_part_is_an_error_that_names_both() {
        let error = split(&labels(4, 100), None, 1, shares(0.2, 0.0)).unwrap_err().to_string();
        assert!(error.contains("test set") && error.contains("class 0") && error.contains("has 4"), "{error}");
        let error = split(&labels(20, 9), None, 1, shares(0.5, 0.1)).unwrap_err().to_string();
        assert!(error.contains("validation set") && error.contains("class 1"), "{error}");
        assert!(split(&[1, 1, 1], None, 1, shares(0.5, 0.0)).is_err());
    }

    #[test]
    fn a_group_stays_together_even_across_classes() {
        let labels = labels(50, 50);
        let groups: Vec<usize> = (0..100).map(|image| image % 40).collect();
        let plain = split(&labels, None, 5, shares(0.3, 0.2)).unwrap();
        let split = split(&labels, Some(&groups), 5, shares(0.3, 0.2)).unwrap();
        for part in [&split.train, &split.validation, &split.test] {
            for group in part.iter().map(|&image| groups[image]) {
                let members = (0..100).filter(|&image| groups[image] == group);
                assert!(members.into_iter().all(|image| part.contains(&image)));
            }
        }
        for image in 0..40 {
            assert_eq!(plain.test.contains(&image), split.test.contains(&image));
        }
    }

    #[test]
    fn folds_test_every_image_once_and_keep_classes_even() {
        let labels = labels(47, 53);
        let of = |fold| split(&labels, None, 21, Shares { fold: Some((fold, 5)), ..shares(0.2, 0.1) }).unwrap();
        let mut tested: Vec<usize> = (1..=5).flat_map(|fold| of(fold).test).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..100).collect::<Vec<_>>());
        for fold in 1..=5 {
            let [negative, positive] = count(&labels, &of(fold).test);
            assert!((9..=10).contains(&negative) && (10..=11).contains(&positive), "{negative} {positive}");
            assert!(of(fold).validation.iter().all(|image| !of(fold).test.contains(image)));
        }
    }
}
