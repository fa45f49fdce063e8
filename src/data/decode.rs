//! The bytes of an image file become pixels of the wanted size.
//!
//! JPEG, PNG, WebP, BMP and GIF (first frame), told apart by content. The EXIF orientation is applied, transparency is
//! laid on white, 16 bits become 8, gray and CMYK become RGB; colour profiles are not looked at. Files come from
//! anywhere: sizes are checked before memory is taken, and a panic in a decoder is one broken image.

use std::borrow::Cow;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, Rgba, RgbaImage};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::look::Look;
use super::resample::resize;
use crate::config::{ImageSize, Interpolation};

/// Part of the name of cached pixels: raise it when the same file decodes to other pixels.
pub const DECODER_VERSION: u32 = 3;

/// Longest side of an image, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// Most pixels of an image.
pub const MAX_PIXELS: u64 = 100_000_000;
/// What a decoder may allocate, in bytes: 16-bit RGBA at [`MAX_PIXELS`] and some room to work in.
const MAX_ALLOCATION: u64 = 1 << 30;

/// What an image file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Pixels, as shown: after the EXIF orientation.
    pub width: u32,
    /// Pixels, as shown.
    pub height: u32,
    /// "JPEG", "PNG", "WebP", "BMP" or "GIF".
    pub format: Cow<'static, str>,
    /// How the file holds its pixels, such as "Rgb8", "L16" or "Cmyk8".
    pub color: String,
    /// Length of the file.
    pub bytes: u64,
}

/// Pixels at the wanted size.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// `[height, width, 3]`, RGB.
    pub pixels: Vec<u8>,
    /// The file.
    pub info: ImageInfo,
    /// What it looks like, whatever the wanted size.
    pub look: Look,
}

/// Why a file is no usable image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No bytes.
    #[error("The file is empty.")]
    Empty,
    /// Not one of the formats.
    #[error("The file is {0}; expected a JPEG, PNG, WebP, BMP or GIF image.")]
    Format(&'static str),
    /// More pixels than allowed.
    #[error(
        "The image has {width}x{height} pixels; at most {MAX_SIDE} a side and {} million in all are allowed.",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Pixels, as the header says.
        width: u32,
        /// Pixels, as the header says.
        height: u32,
    },
    /// The end is missing.
    #[error("The JPEG file is cut off: it has no end marker.")]
    CutOff,
    /// What the decoder says.
    #[error("The {format} file is damaged: {reason}.")]
    Damaged {
        /// The format.
        format: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// A bug in a decoder.
    #[error("The {0} file makes its decoder panic.")]
    Panicked(&'static str),
}

/// Decodes an image file and brings it to `size`, whatever its aspect, as Pillow does; see [`resize`].
///
/// # Errors
/// [`DecodeError`], a sentence about this file.
pub fn decode(bytes: &[u8], size: ImageSize, interpolation: Interpolation) -> Result<Decoded, DecodeError> {
    let format = format(bytes)?;
    guarded(format, || {
        let (image, info) = read(bytes, format)?;
        let image = flatten(image);
        let look = Look::of(&image);
        Ok(Decoded { pixels: resize(&image, size, interpolation).into_raw(), info, look })
    })
}

/// Decodes an image file only to see that it can be, and what it is.
///
/// # Errors
/// [`DecodeError`], a sentence about this file.
pub fn inspect(bytes: &[u8]) -> Result<ImageInfo, DecodeError> {
    let format = format(bytes)?;
    guarded(format, || read(bytes, format).map(|(_, info)| info))
}

fn guarded<T>(format: ImageFormat, work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    // Nothing outlives the closure, so nothing half-changed can be seen.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(DecodeError::Panicked(name(format))))
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        _ => "image",
    }
}

fn format(bytes: &[u8]) -> Result<ImageFormat, DecodeError> {
    use ImageFormat as F;
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    match image::guess_format(bytes) {
        Ok(format @ (F::Jpeg | F::Png | F::WebP | F::Bmp | F::Gif)) => Ok(format),
        Ok(F::Tiff) => Err(DecodeError::Format("a TIFF image")),
        Ok(F::Avif) => Err(DecodeError::Format("an AVIF image")),
        Ok(_) => Err(DecodeError::Format("an image in another format")),
        Err(_) => Err(DecodeError::Format(other_content(bytes))),
    }
}

/// Words for the common kinds of files that are found among images.
fn other_content(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    match bytes {
        _ if matches!(bytes.get(4..12), Some(b"ftypheic" | b"ftypheix" | b"ftypmif1")) => "a HEIC image",
        _ if bytes.get(4..8) == Some(b"ftyp") => "a video",
        _ if bytes.starts_with(b"%PDF") => "a PDF document",
        _ if start.starts_with(b"<svg") || start.starts_with(b"<?xml") => "an SVG or XML document",
        _ if start.starts_with(b"<") => "an HTML page",
        _ if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')) => "text",
        _ => "not an image",
    }
}

fn read(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, ImageInfo), DecodeError> {
    let damaged =
        |error: image::ImageError| DecodeError::Damaged { format: name(format), reason: one_line(&error.to_string()) };
    if format == ImageFormat::Jpeg && !jpeg_has_end(bytes) {
        return Err(DecodeError::CutOff);
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOCATION);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(DecodeError::Damaged { format: name(format), reason: "it has no pixels".to_owned() });
    }
    let color = format!("{:?}", decoder.original_color_type());
    // A file with unreadable EXIF data is shown as it is stored, as every viewer does.
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let info = ImageInfo {
        width: image.width(),
        height: image.height(),
        format: name(format).into(),
        color,
        bytes: bytes.len() as u64,
    };
    Ok((image, info))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

/// Whether a JPEG has its end marker: the decoder would fill up what is missing with gray and say nothing.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Segments before the scan have lengths; an end marker in one of them is a thumbnail's.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xff => at += 1,
            0xda => break,
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    let scan = bytes.get(at..).unwrap_or_default();
    scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// RGB in 8 bits, on white where the image is transparent.
fn flatten(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image: RgbaImage = image.into_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let &Rgba([red, green, blue, alpha]) = image.get_pixel(x, y);
        let alpha = u16::from(alpha);
        Rgb([red, green, blue].map(|value| ((u16::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}
