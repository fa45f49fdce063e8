//! Contact sheets: many images on one, to look at data with one's own eyes.

use image::{Rgb, RgbImage, imageops};

use super::augment::{Parameters, warp};
use super::cache::Dataset;
use super::resample::resize;
use crate::config::{Augment, ImageSize, Interpolation};
use crate::random::{Purpose, Stream};

/// Longest side of a thumbnail, in pixels.
const THUMBNAIL: usize = 128;
/// White between thumbnails, in pixels.
const GAP: usize = 4;
/// Height of the coloured band above each class, in pixels.
const BAND: usize = 10;
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
/// One for each class: orange and blue, which nobody mixes up.
const COLORS: [Rgb<u8>; 2] = [Rgb([230, 126, 34]), Rgb([41, 98, 196])];

/// Up to `per_class` images of each class, spread evenly over its names, in rows of `columns`. An orange band stands above
/// class 0, a blue one above class 1.
pub fn sheet(dataset: &Dataset, per_class: usize, columns: usize) -> RgbImage {
    let columns = columns.max(1);
    let classes = [0, 1].map(|class| {
        let images: Vec<usize> = (0..dataset.len()).filter(|&image| dataset.label(image) == class).collect();
        spread(&images, per_class)
    });
    let cell = cell(dataset.size());
    let rows = classes.iter().map(|images| images.len().div_ceil(columns)).sum();
    let mut sheet = blank(cell, rows, columns, 2 * (BAND + GAP));
    let mut top = GAP;
    for (images, color) in classes.iter().zip(COLORS) {
        for y in top..top + BAND {
            for x in GAP..sheet.width() as usize - GAP {
                sheet.put_pixel(x as u32, y as u32, color);
            }
        }
        top += BAND + GAP;
        for (place, &image) in images.iter().enumerate() {
            let place = (top + place / columns * (cell.height + GAP), GAP + place % columns * (cell.width + GAP));
            paste(&mut sheet, dataset.pixels(image).to_vec(), dataset.size(), place);
        }
        top += images.len().div_ceil(columns) * (cell.height + GAP);
    }
    sheet
}

/// `rows` images, spread evenly over the data: each as it is, then as training with `seed` sees it in its first epochs,
/// one column for each.
pub fn augmented_sheet(dataset: &Dataset, ranges: &Augment, seed: u64, rows: usize, columns: usize) -> RgbImage {
    let columns = columns.max(1);
    let images = spread(&(0..dataset.len()).collect::<Vec<_>>(), rows);
    let size = dataset.size();
    let cell = cell(size);
    let mut sheet = blank(cell, images.len(), columns, 0);
    let mut varied = vec![0.0; size.height * size.width * 3];
    for (row, &image) in images.iter().enumerate() {
        for column in 0..columns {
            let pixels = match column.checked_sub(1) {
                None => dataset.pixels(image).to_vec(),
                Some(epoch) => {
                    let mut stream = Stream::new(seed, Purpose::Augment, epoch as u64, image as u64);
                    let parameters = Parameters::draw(ranges, size, &mut stream);
                    warp(dataset.pixels(image), size, &parameters, ranges.fill(), &mut varied);
                    varied.iter().map(|value| (value * 255.0).round() as u8).collect()
                }
            };
            let place = (GAP + row * (cell.height + GAP), GAP + column * (cell.width + GAP));
            paste(&mut sheet, pixels, size, place);
        }
    }
    sheet
}

/// At most `count` of the images, at equal distances.
fn spread(images: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(images.len());
    (0..count).map(|place| images[place * images.len() / count]).collect()
}

/// Size of a thumbnail: the image's own, or less at the same aspect.
fn cell(size: ImageSize) -> ImageSize {
    let longest = size.height.max(size.width);
    if longest <= THUMBNAIL {
        return size;
    }
    let shrink = |side: usize| (side * THUMBNAIL).div_ceil(longest);
    ImageSize { height: shrink(size.height), width: shrink(size.width) }
}

fn blank(cell: ImageSize, rows: usize, columns: usize, extra_height: usize) -> RgbImage {
    let width = GAP + columns * (cell.width + GAP);
    let height = GAP + rows * (cell.height + GAP) + extra_height;
    RgbImage::from_pixel(width as u32, height as u32, WHITE)
}

/// Puts an image's thumbnail at (row, column) of the sheet.
fn paste(sheet: &mut RgbImage, pixels: Vec<u8>, size: ImageSize, (row, column): (usize, usize)) {
    // A data set's pixels always have its size.
    if let Some(image) = RgbImage::from_raw(size.width as u32, size.height as u32, pixels) {
        let small = resize(&image, cell(size), Interpolation::Bilinear);
        imageops::replace(sheet, &small, column as i64, row as i64);
    }
}
