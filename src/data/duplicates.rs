//! Images that are the same picture: equal files, and files that look alike.

use std::collections::HashMap;

use rayon::prelude::*;

use super::cache::Dataset;
use super::look::{PRINT_BYTES, color_difference, distance};

/// Most bits, of 256, in which the perceptual hashes of near-duplicates differ, one of them mirrored or not.
///
/// With [`NEAR_COLORS`], 250 of 300 planted near-duplicates among 1,500 drawn faces are found (moved, turned a little, brighter or
/// darker, mirrored, recompressed) and no two different ones taken for the same; of 1,630 photographs of different faces no two are.
/// `tests/data_audit.rs` holds that.
pub const NEAR: u32 = 52;

/// Most that the colours of near-duplicates differ, as a share of the whole range: the hashes see brightness only.
pub const NEAR_COLORS: f64 = 0.06;

/// Bytes of a band. Two hashes up to 31 bits apart agree in at least one of 32 bands, and of those at 52 bits more than 99 in 100 do,
/// so only images that share a band are compared.
const BAND: usize = 1;

/// Images that share a band are compared with so many of their neighbours in it, in the order of their hashes: a band that says
/// nothing (blank pictures, white margins) would else make the work quadratic.
const CROWD: usize = 2000;

/// What is compared of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Hash of the file's bytes.
    pub content: [u8; 32],
    /// Perceptual hash.
    pub print: [u8; PRINT_BYTES],
    /// Perceptual hash of the mirrored image.
    pub mirrored: [u8; PRINT_BYTES],
    /// Colours of its fields, see [`Look::colors`](super::look::Look::colors).
    pub colors: Vec<[u8; 3]>,
}

/// A group number for each image of a data set: images with equal content, or that look alike, share one. Numbers count up from 0
/// in the order of the groups' first images.
pub fn groups(dataset: &Dataset) -> Vec<usize> {
    let trace = |image: usize| {
        let look = dataset.look(image);
        let content = *dataset.content_hash(image);
        Trace { content, print: look.print, mirrored: look.mirrored, colors: look.colors.clone() }
    };
    group(&(0..dataset.len()).map(trace).collect::<Vec<_>>())
}

/// The same for what is compared of each image.
pub fn group(images: &[Trace]) -> Vec<usize> {
    let mut sets = Sets::new(images.len());
    let mut contents: HashMap<[u8; 32], usize> = HashMap::new();
    // Equal looks are joined first, so that very many of them are one.
    let mut looks: HashMap<([u8; PRINT_BYTES], &[[u8; 3]]), usize> = HashMap::new();
    let mut distinct = Vec::new();
    for (image, trace) in images.iter().enumerate() {
        sets.join(*contents.entry(trace.content).or_insert(image), image);
        let first = *looks.entry((trace.print, trace.colors.as_slice())).or_insert(image);
        sets.join(first, image);
        if first == image {
            distinct.push((trace.print, image));
        }
    }
    let plain = distinct.len();
    let mirrored: Vec<_> = distinct.iter().map(|&(_, image)| (images[image].mirrored, image)).collect();
    distinct.extend(mirrored);
    let prints = Prints { images, distinct, plain };
    // Joining is the same in any order, so threads may share the bands as they like.
    let bands = (0..PRINT_BYTES / BAND).into_par_iter();
    let joined = bands.fold(|| sets.clone(), |sets, band| prints.join_band(band, sets));
    joined.reduce(|| sets.clone(), Sets::join_all).numbers()
}

/// Hashes of images that look different, the plain ones before the mirrored ones, each with its image.
struct Prints<'a> {
    images: &'a [Trace],
    distinct: Vec<([u8; PRINT_BYTES], usize)>,
    plain: usize,
}

impl Prints<'_> {
    /// Joins the images that share a band and look alike.
    fn join_band(&self, band: usize, mut sets: Sets) -> Sets {
        let mut shared: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (place, (print, _)) in self.distinct.iter().enumerate() {
            shared.entry(&print[band * BAND..(band + 1) * BAND]).or_default().push(place);
        }
        for crowd in shared.values_mut() {
            crowd.sort_unstable_by_key(|&place| self.distinct[place].0);
            for (index, &a) in crowd.iter().enumerate() {
                for &b in crowd[index + 1..].iter().take(CROWD) {
                    let (one, other) = (self.distinct[a].1, self.distinct[b].1);
                    // Two mirrored ones say what the plain ones say; what is together already needs no look.
                    if (a < self.plain || b < self.plain) && !sets.are_together(one, other) && self.alike(a, b) {
                        sets.join(one, other);
                    }
                }
            }
        }
        sets
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        let [(print_a, one), (print_b, other)] = [a, b].map(|place| &self.distinct[place]);
        let mirror = (a < self.plain) != (b < self.plain);
        distance(print_a, print_b) <= NEAR
            && color_difference(&self.images[*one].colors, &self.images[*other].colors, mirror) <= NEAR_COLORS
    }
}

/// Disjoint sets (Tarjan 1975), the smallest member at the root.
#[derive(Clone)]
struct Sets(Vec<usize>);

impl Sets {
    fn new(members: usize) -> Self {
        Self((0..members).collect())
    }

    fn root(&mut self, mut member: usize) -> usize {
        while self.0[member] != member {
            self.0[member] = self.0[self.0[member]];
            member = self.0[member];
        }
        member
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }

    fn are_together(&mut self, a: usize, b: usize) -> bool {
        self.root(a) == self.root(b)
    }

    /// Together is what is so in either.
    fn join_all(mut self, mut other: Self) -> Self {
        for member in 0..self.0.len() {
            let root = other.root(member);
            self.join(root, member);
        }
        self
    }

    fn numbers(mut self) -> Vec<usize> {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        (0..self.0.len())
            .map(|member| {
                let root = self.root(member);
                let next = numbers.len();
                *numbers.entry(root).or_insert(next)
            })
            .collect()
    }
}

/// Images of class 0 and 1 in each group of [`groups`].
pub fn labels_of_groups(groups: &[usize], labels: &[usize]) -> Vec<[usize; 2]> {
    let mut counts = vec![[0; 2]; groups.iter().max().map_or(0, |&last| last + 1)];
    groups.iter().zip(labels).for_each(|(&group, &label)| counts[group][label.min(1)] += 1);
    counts
}

/// Test images that have a near-duplicate among the training images: the test set knows them already.
pub fn leaked(groups: &[usize], train: &[usize], test: &[usize]) -> Vec<usize> {
    let trained: std::collections::HashSet<usize> = train.iter().map(|&image| groups[image]).collect();
    test.iter().copied().filter(|&image| trained.contains(&groups[image])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    fn print(seed: u64) -> [u8; PRINT_BYTES] {
        let mut stream = Stream::new(1, Purpose::Synthesis, 0, seed);
        std::array::from_fn(|_| stream.bits() as u8)
    }

    fn trace(content: u8, print: [u8; PRINT_BYTES]) -> Trace {
        let mirrored = self::print(1000 + u64::from(content));
        Trace { content: [content; 32], print, mirrored, colors: vec![[90; 3]; 16] }
    }

    /// With `bits` bits turned, spread over all bands.
    fn flip(mut print: [u8; PRINT_BYTES], bits: usize) -> [u8; PRINT_BYTES] {
        for bit in 0..bits {
            print[bit % PRINT_BYTES] ^= 1 << (bit / PRINT_BYTES);
        }
        print
    }

    #[test]
    fn bands_miss_no_pair_that_is_near_and_join_none_that_is_not() {
        for bits in (0..32).chain(53..60) {
            let images = [trace(1, print(1)), trace(2, flip(print(1), bits)), trace(3, print(2))];
            let expected = if bits as u32 <= NEAR { [0, 0, 1] } else { [0, 1, 2] };
            assert_eq!(group(&images), expected, "{bits} bits");
        }
    }

    #[test]
    fn equal_files_are_together_and_chains_are_one_group() {
        let images = [
            trace(1, print(1)),
            trace(9, print(5)),
            trace(2, flip(print(1), 30)),
            trace(9, print(6)),
            trace(3, flip(print(1), 60)),
        ];
        assert_eq!(group(&images), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_mirrored_picture_is_the_same_picture() {
        let first = Trace { mirrored: print(8), ..trace(1, print(7)) };
        let second = Trace { mirrored: flip(print(7), 20), ..trace(2, flip(print(8), 20)) };
        assert_eq!(group(&[first, second]), [0, 0]);
    }

    #[test]
    fn the_same_drawing_in_other_colours_is_another_picture() {
        let other = Trace { colors: vec![[90, 90, 200]; 16], ..trace(2, print(1)) };
        assert_eq!(group(&[trace(1, print(1)), other]), [0, 1]);
    }

    #[test]
    fn very_many_equal_pictures_are_quick() {
        let blank: Vec<_> = (0..100_000_u32)
            .map(|image| {
                let mut content = [0; 32];
                content[..4].copy_from_slice(&image.to_le_bytes());
                Trace { content, print: [0; PRINT_BYTES], mirrored: [0; PRINT_BYTES], colors: vec![[255; 3]; 16] }
            })
            .collect();
        assert!(group(&blank).iter().all(|&number| number == 0));
    }

    #[test]
    fn a_test_image_leaks_when_its_group_is_trained_on() {
        assert_eq!(leaked(&[0, 1, 0, 2, 1], &[0, 3], &[2, 4]), [2]);
    }
}
