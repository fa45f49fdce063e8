//! The test images that a run is surest about and wrong.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::Plot;
use super::style::{escape, short};
use crate::config::{ImageSize, Interpolation, parse};
use crate::data::cache::Dataset;
use crate::data::source::OpenSource;
use crate::store::{Predictions, RunDetail};

/// Mistakes that are shown.
const SHOWN: usize = 24;
/// Size at which they are shown.
const THUMBNAIL: ImageSize = ImageSize { height: 120, width: 120 };
const COLUMNS: usize = 6;
const CELL: usize = 120;
const TEXT: usize = 46;

/// A wrong call.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Name of the image.
    pub name: String,
    /// Whether it is of class 1.
    pub label: bool,
    /// Probability of class 1.
    pub probability: f64,
}

/// Wrong calls, the surest first.
pub fn surest(predictions: &Predictions, most: usize) -> Vec<Mistake> {
    let sureness = |mistake: &Mistake| (mistake.probability - 0.5).abs();
    let all = predictions.names.iter().zip(&predictions.labels).zip(&predictions.probabilities);
    let mut wrong: Vec<Mistake> = all
        .filter(|&((_, &label), &probability)| (probability >= 0.5) != label)
        .map(|((name, &label), &probability)| Mistake { name: name.clone(), label, probability })
        .collect();
    wrong.sort_by(|a, b| sureness(b).total_cmp(&sureness(a)).then(a.name.cmp(&b.name)));
    wrong.truncate(most);
    wrong
}

/// The surest mistakes of a run with their pictures, if its images are where they were and what they were. `cache` is the folder
/// of decoded images.
pub fn mistakes_of(cache: &Path, detail: &RunDetail, predictions: &Predictions) -> Option<Plot> {
    let wrong = surest(predictions, SHOWN);
    let classes = detail.classes.as_ref().filter(|_| !wrong.is_empty())?;
    let experiment = parse(&detail.experiment, Path::new("experiment.toml"), &[]).ok()?.experiment;
    let source = OpenSource::open(experiment.data().source(), experiment.data().classes()).ok()?;
    let dataset = Dataset::load(&source, THUMBNAIL, Interpolation::Bilinear, true, cache, &|_, _| {}).ok()?;
    if detail.summary.fingerprint.as_deref() != Some(&dataset.fingerprint().to_string()) {
        tracing::warn!(mistakes = wrong.len(), "the data have changed since the run, so its mistakes are not shown");
        return None;
    }
    Some(mistakes(&wrong, &dataset, classes))
}

/// The mistakes with their pictures. Images that the data set does not have any more are left out.
fn mistakes(wrong: &[Mistake], dataset: &Dataset, classes: &[String; 2]) -> Plot {
    let places: std::collections::HashMap<&str, usize> =
        (0..dataset.len()).map(|image| (dataset.name(image), image)).collect();
    let shown: Vec<(&Mistake, usize)> =
        wrong.iter().filter_map(|mistake| Some((mistake, *places.get(mistake.name.as_str())?))).collect();
    let rows = shown.len().div_ceil(COLUMNS).max(1);
    let (width, height) = (COLUMNS * (CELL + 10) + 10, rows * (CELL + TEXT + 10) + 40);
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"The surest mistakes\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\"><rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/><text x=\"10\" y=\"26\" \
         font-family=\"sans-serif\" font-size=\"17\" fill=\"#1e1e1e\">The surest mistakes</text>"
    );
    for (place, (mistake, image)) in shown.into_iter().enumerate() {
        let (x, y) = (10 + place % COLUMNS * (CELL + 10), 40 + place / COLUMNS * (CELL + TEXT + 10));
        let called = if mistake.label { 1.0 - mistake.probability } else { mistake.probability };
        let text = |line: usize, size: usize, color: &str, text: &str| {
            let y = y + CELL + 1 + 14 * line;
            format!(
                "<text x=\"{x}\" y=\"{y}\" font-family=\"sans-serif\" font-size=\"{size}\" fill=\"{color}\">{}</text>",
                escape(text)
            )
        };
        let [class, other] = [mistake.label, !mistake.label].map(|class| short(&classes[usize::from(class)], 12));
        let _ = write!(
            svg,
            "<image x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" href=\"data:image/jpeg;base64,{}\"/>{}{}{}",
            STANDARD.encode(jpeg(dataset, image)),
            text(1, 12, "#1e1e1e", &format!("is {class},")),
            text(2, 12, "#1e1e1e", &format!("{other} by {called:.3}")),
            text(3, 10, "#555", &tail(&mistake.name, 22))
        );
    }
    let caption =
        "Test images that the run called wrongly, the surest first: class, probability of the other one, file.";
    Plot { name: "mistakes", caption: caption.to_owned(), svg: svg + "</svg>" }
}

/// The end of a name, which tells files apart.
fn tail(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most { name.to_owned() } else { "…".chars().chain(name.chars().skip(length + 1 - most)).collect() }
}

/// An image of a data set as a JPEG file.
fn jpeg(dataset: &Dataset, image: usize) -> Vec<u8> {
    let size = dataset.size();
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(Cursor::new(&mut jpeg), 85);
    // A picture that cannot be written leaves an empty place with its name.
    let _ = encoder.write_image(dataset.pixels(image), size.width as u32, size.height as u32, ExtendedColorType::Rgb8);
    jpeg
}
