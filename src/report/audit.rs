//! The findings of an audit as text, and as one HTML file with thumbnails that needs nothing else.

use std::fmt::Write as _;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::on_one_line;
use super::summary::percent;
use crate::data::audit::{Audit, Group};
use crate::data::cache::Dataset;

/// Names that a list of the text shows.
const NAMED: usize = 8;
/// Groups and images that a section of the page shows.
const SHOWN: usize = 60;
/// Images of a group that the page shows.
const OF_A_GROUP: usize = 24;

/// A label that runs do not believe.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Doubt {
    /// The image's place in the data set.
    #[serde(skip)]
    pub image: usize,
    /// Its name.
    pub name: String,
    /// Its label.
    pub label: usize,
    /// Mean probability of that label in runs that were not trained on it.
    pub probability: f64,
    /// Such runs.
    pub runs: usize,
}

/// The findings in words.
pub fn words(audit: &Audit, doubts: Option<&[Doubt]>) -> String {
    let mut text = format!("Source          {}\nImages          {}\n", audit.source, audit.images);
    let _ = writeln!(text, "Broken          {}", audit.broken.len());
    for broken in audit.broken.iter().take(NAMED) {
        let _ = writeln!(text, "  {}: {}", on_one_line(&broken.name), broken.reason);
    }
    let _ = writeln!(
        text,
        "Duplicates      {} images repeat a file, {} look like another; {} groups in all",
        audit.exact_duplicates,
        audit.near_duplicates,
        audit.groups.len()
    );
    let _ = writeln!(
        text,
        "Contradictions  {} groups have both labels ({} images)",
        audit.contradicting_groups, audit.contradicting_images
    );
    for group in contradicting(audit).take(NAMED) {
        let _ = writeln!(text, "  {}", counted(group, &audit.classes));
    }
    text += &ceiling(audit);
    let share = audit.leaked.len() as f64 / audit.test_images.max(1) as f64;
    let _ = writeln!(
        text,
        "Leakage         {} of {} test images ({}) look like a training image{}",
        audit.leaked.len(),
        audit.test_images,
        percent(share),
        if audit.leaked.is_empty() { "" } else { "; set split.keep_duplicates_together = true" }
    );
    let _ = writeln!(text, "Odd             {} images are tiny, squeezed, blank or dark", audit.odd.len());
    for odd in audit.odd.iter().take(NAMED) {
        let _ = writeln!(text, "  {}: {}", on_one_line(&odd.name), odd.reason);
    }
    if let Some(doubts) = doubts {
        let _ = writeln!(text, "Doubted labels  {} (by runs that were not trained on the image)", doubts.len());
        for doubt in doubts.iter().take(NAMED) {
            let (label, runs) = (&audit.classes[doubt.label], doubt.runs);
            let _ = writeln!(
                text,
                "  {}: labelled {label}, believed {:.3} by {runs} runs",
                on_one_line(&doubt.name),
                doubt.probability
            );
        }
    }
    text
}

fn ceiling(audit: &Audit) -> String {
    let Some(ceiling) = audit.ceiling else {
        return "Ceiling         unknown: too few pictures have two labels to tell how many labels are wrong\n"
            .to_owned();
    };
    format!(
        "Ceiling         {} (95 % interval {} to {}): of {} pairs of labels of one picture {} disagree, as they would\n\
         {:16}if {} of all labels were wrong by chance; no classifier can be right more often than that on average\n",
        percent(ceiling.accuracy),
        percent(ceiling.interval.low),
        percent(ceiling.interval.high),
        ceiling.pairs,
        percent(ceiling.disagreement),
        "",
        percent(ceiling.label_error)
    )
}

fn contradicting(audit: &Audit) -> impl Iterator<Item = &Group> {
    audit.groups.iter().filter(|group| group.labels.iter().any(|&label| label != group.labels[0]))
}

fn counted(group: &Group, classes: &[String; 2]) -> String {
    let count = |class: usize| group.labels.iter().filter(|&&label| label == class).count();
    let names: Vec<_> = group.names.iter().take(3).map(|name| on_one_line(name)).collect();
    let more = if group.names.len() > 3 { " ..." } else { "" };
    format!("{} {}, {} {}: {}{more}", count(0), classes[0], count(1), classes[1], names.join(", "))
}

/// The findings as a page. `thumbnails` is the audited data set, whose pixels are shown.
pub fn html(audit: &Audit, doubts: Option<&[Doubt]>, thumbnails: &Dataset) -> String {
    format!("{HEAD}{}</main></html>\n", body(audit, doubts, thumbnails))
}

/// The findings without the frame of a page.
pub fn body(audit: &Audit, doubts: Option<&[Doubt]>, thumbnails: &Dataset) -> String {
    let mut page = String::new();
    let _ = write!(page, "<h1>Audit of {}</h1><pre>{}</pre>", escape(&audit.source), escape(&words(audit, doubts)));
    let picture = |image: usize, note: &str| figure(thumbnails, &audit.classes, image, note);
    section(
        &mut page,
        "The same picture with both labels",
        contradicting(audit).take(SHOWN).map(|group| {
            let pictures: String = group.images.iter().take(OF_A_GROUP).map(|&image| picture(image, "")).collect();
            format!("<div class=group>{pictures}</div>")
        }),
    );
    if let Some(doubts) = doubts {
        section(
            &mut page,
            "Labels that runs do not believe",
            doubts.iter().take(SHOWN).map(|doubt| {
                picture(doubt.image, &format!("believed {:.3} by {} runs", doubt.probability, doubt.runs))
            }),
        );
    }
    let one_label = audit.groups.iter().filter(|group| group.labels.iter().all(|&label| label == group.labels[0]));
    section(
        &mut page,
        "Other duplicates",
        one_label.take(SHOWN).map(|group| {
            let pictures: String = group.images.iter().take(OF_A_GROUP).map(|&image| picture(image, "")).collect();
            format!("<div class=group>{pictures}</div>")
        }),
    );
    section(&mut page, "Odd images", audit.odd.iter().take(SHOWN).map(|odd| picture(odd.image, &odd.reason)));
    page
}

fn section(page: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        let _ = write!(page, "<h2>{title}</h2><div class=found>{}</div>", items.concat());
    }
}

fn figure(dataset: &Dataset, classes: &[String; 2], image: usize, note: &str) -> String {
    let size = dataset.size();
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(Cursor::new(&mut jpeg), 85);
    // A thumbnail that cannot be written leaves an empty frame with its name.
    let _ = encoder.write_image(dataset.pixels(image), size.width as u32, size.height as u32, ExtendedColorType::Rgb8);
    let (name, class) = (escape(dataset.name(image)), dataset.label(image));
    let label = escape(&classes[class]);
    let note = if note.is_empty() { String::new() } else { format!("<br>{}", escape(note)) };
    let source = STANDARD.encode(jpeg);
    format!(
        "<figure><img alt=\"{name}\" src=\"data:image/jpeg;base64,{source}\"><figcaption><b class=c{class}>{label}</b><br>{name}{note}\
         </figcaption></figure>"
    )
}

/// Text that stands in a page as it is.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Audit</title><style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
main { max-width: 75rem; margin: 2rem auto; padding: 0 1rem } pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 1rem; border: 1px solid #8885 }
.found { display: flex; flex-wrap: wrap; gap: .75rem } .group { display: flex; flex-wrap: wrap; gap: .5rem; padding: .5rem; border: 1px solid #8888 }
figure { margin: 0; width: 8rem; font-size: .75rem; overflow-wrap: anywhere } img { width: 8rem; height: 8rem; object-fit: cover }
.c0 { color: #b35900 } .c1 { color: #0067a5 } @media (prefers-color-scheme: dark) { .c0 { color: #ffb266 } .c1 { color: #7cc4f5 } }
</style><main>"#;
