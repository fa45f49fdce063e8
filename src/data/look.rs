//! What an image looks like, small enough to keep for every image of a large data set.

use std::sync::OnceLock;

use image::RgbImage;
use image::imageops::{FilterType, resize, thumbnail};
use image_hasher::{HashAlg, Hasher, HasherConfig};
use serde::{Deserialize, Serialize};

/// Bytes of a perceptual hash: 16x16 bits.
pub const PRINT_BYTES: usize = 32;

/// Rows and columns of the fields whose colours are kept.
const FIELDS: u32 = 4;

/// Side of the small picture that looks are taken from.
const SIDE: u32 = 64;

/// A perceptual hash and two figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Signs of the low frequencies against their median, see [`distance`].
    pub print: [u8; PRINT_BYTES],
    /// The same of the image mirrored left to right.
    pub mirrored: [u8; PRINT_BYTES],
    /// Mean colours of 4x4 fields, row by row.
    pub colors: Vec<[u8; 3]>,
    /// Mean brightness, 0 black to 1 white.
    pub brightness: f32,
    /// Standard deviation of the brightness; 0 for a blank image.
    pub contrast: f32,
}

impl Look {
    /// The look of an image of any size.
    pub fn of(image: &RgbImage) -> Self {
        let small = if image.width() > SIDE && image.height() > SIDE {
            thumbnail(image, SIDE, SIDE)
        } else {
            resize(image, SIDE, SIDE, FilterType::Triangle)
        };
        let gray: Vec<f32> = image::imageops::grayscale(&small).iter().map(|&value| f32::from(value) / 255.0).collect();
        let mean = gray.iter().sum::<f32>() / gray.len() as f32;
        let variance = gray.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / gray.len() as f32;
        let mirrored = print(image::imageops::flip_horizontal(&small));
        let colors = thumbnail(&small, FIELDS, FIELDS).pixels().map(|pixel| pixel.0).collect();
        Self { print: print(small), mirrored, colors, brightness: mean, contrast: variance.sqrt() }
    }
}

fn print(image: RgbImage) -> [u8; PRINT_BYTES] {
    let hash = hasher().hash_image(&image::DynamicImage::from(image));
    let mut print = [0; PRINT_BYTES];
    print.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    print
}

/// Median hash of the discrete cosine transform ("pHash", Zauner, "Implementation and benchmarking of perceptual image hash
/// functions", 2010), 256 bits.
fn hasher() -> &'static Hasher {
    static HASHER: OnceLock<Hasher> = OnceLock::new();
    HASHER.get_or_init(|| HasherConfig::new().hash_size(16, 16).hash_alg(HashAlg::Median).preproc_dct().to_hasher())
}

/// Bits in which two hashes differ, of 256.
pub fn distance(a: &[u8; PRINT_BYTES], b: &[u8; PRINT_BYTES]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// Mean difference of the fields' colours, 0 to 1; of the second image mirrored if wanted.
pub fn color_difference(a: &[[u8; 3]], b: &[[u8; 3]], mirror: bool) -> f64 {
    let columns = FIELDS as usize;
    let field = |place: usize| if mirror { place / columns * columns + columns - 1 - place % columns } else { place };
    let difference = |place: usize| -> f64 {
        let pairs = a[place].iter().zip(b.get(field(place)).into_iter().flatten());
        pairs.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum()
    };
    (0..a.len()).map(difference).sum::<f64>() / (255.0 * 3.0 * a.len().max(1) as f64)
}
