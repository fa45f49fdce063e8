//! `predict`: what a run says about images.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::json;

use super::exit::{DATA, Failure, USAGE};
use super::{Global, open};
use crate::config::{Experiment, parse};
use crate::data::folder::MAX_FILE;
use crate::data::layout::{has_image_extension, is_litter};
use crate::store::RunDetail;
use crate::train::predict::{Classifier, Preparation, Prepared};

/// Images that go through the network together.
const BATCH: usize = 64;

/// Bytes of a line on stdin; no system has longer names.
const LONGEST_NAME: u64 = 1 << 16;

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An id, the beginning of one, the name of an experiment (its last run), or `best`.
    run: String,
    /// Image files, folders of them, or - for stdin: one image, or one file name a line.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Call an image class 1 from this probability on: a number, or `tuned` for the run's own, chosen on its validation set.
    #[arg(long, default_value = "0.5", value_name = "P")]
    threshold: String,
}

/// An image, by the name that it is told by.
struct Image {
    name: String,
    bytes: std::io::Result<Vec<u8>>,
}

/// Prints a JSON object a line, in the order of the images.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let id = store.resolve(&args.run)?;
    let detail = store.detail(&id)?;
    if detail.evaluation.is_none() {
        return Err(Failure::run(format!("Run {id} is {}; only a completed run can predict.", detail.summary.status)));
    }
    let threshold = threshold(&args.threshold, &detail)?;
    let experiment = parse(&detail.experiment, Path::new("experiment.toml"), &[])?.experiment;
    let classes = experiment.data().classes().clone();
    let caller = Caller { classifier: load(experiment, &results.run(&id).model())?, classes, threshold };
    let mut names = Vec::new();
    let mut broken = 0;
    for path in &args.images {
        if path == Path::new("-") {
            broken += from_stdin(&caller, &mut names)?;
        } else {
            collect(path, &mut names)
                .map_err(|error| Failure::new(DATA, format!("{} cannot be read: {error}.", path.display())))?;
        }
    }
    if names.is_empty() && broken == 0 && !args.images.iter().any(|path| path == Path::new("-")) {
        let named: Vec<String> = args.images.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::new(DATA, format!("There are no images in {}.", named.join(", "))));
    }
    broken += caller.files(&names)?;
    if broken == 0 {
        Ok(())
    } else {
        Err(Failure::new(DATA, format!("{broken} images cannot be used; their lines say why.")))
    }
}

fn threshold(text: &str, detail: &RunDetail) -> Result<f64, Failure> {
    if text == "tuned" {
        let tuned = detail.evaluation.as_ref().and_then(|evaluation| evaluation.tuned.as_ref());
        let missing =
            "The run has no tuned threshold, because it had no validation set. Set split.validation in the experiment.";
        return tuned.map(|tuned| tuned.threshold).ok_or_else(|| Failure::new(USAGE, missing));
    }
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| Failure::new(USAGE, format!("--threshold is a number from 0 to 1, or tuned, not `{text}`.")))
}

fn load(experiment: Experiment, weights: &Path) -> Result<Classifier, Failure> {
    Classifier::load(experiment, weights).map_err(Failure::run)
}

/// Names of the image files in a folder and below, sorted; a file is itself.
fn collect(path: &Path, names: &mut Vec<PathBuf>) -> std::io::Result<()> {
    // What is missing gets its line when it is read.
    if !path.is_dir() {
        names.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_litter(&name) && (entry.is_dir() || has_image_extension(&name)) {
            collect(&entry, names)?;
        }
    }
    Ok(())
}

/// An image on stdin is called at once; else stdin has names.
fn from_stdin(caller: &Caller, names: &mut Vec<PathBuf>) -> Result<usize, Failure> {
    let unreadable = |error| Failure::new(DATA, format!("stdin cannot be read: {error}."));
    let mut stdin = BufReader::new(std::io::stdin().lock());
    let start = stdin.fill_buf().map_err(unreadable)?;
    // No file name begins as an image file does: JPEG, PNG, GIF, WebP, BMP.
    let is_image = [&b"\xff\xd8"[..], b"\x89PNG", b"GIF8", b"RIFF", b"BM"].iter().any(|magic| start.starts_with(magic));
    if is_image {
        return caller.images(vec![Image { name: "-".to_owned(), bytes: bounded(Ok(stdin)) }]);
    }
    loop {
        let mut line = Vec::new();
        (&mut stdin).take(LONGEST_NAME).read_until(b'\n', &mut line).map_err(unreadable)?;
        match line.pop() {
            None => return Ok(0),
            Some(b'\n') => {}
            Some(_) if line.len() as u64 + 1 == LONGEST_NAME => {
                return Err(Failure::new(DATA, "stdin has neither an image nor names of files, one a line."));
            }
            Some(last) => line.push(last),
        }
        line.pop_if(|last| *last == b'\r');
        names.extend((!line.is_empty()).then(|| PathBuf::from(OsString::from_vec(line))));
    }
}

/// All bytes of an image file, if they are not more than training would read.
fn bounded(file: std::io::Result<impl Read>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!("it has more than {} MiB", MAX_FILE >> 20)));
    }
    Ok(bytes)
}

/// A classifier that writes what it finds.
struct Caller {
    classifier: Classifier,
    classes: [String; 2],
    threshold: f64,
}

impl Caller {
    /// Calls files a batch at a time; the next batch is decoded while the network works. Returns how many could not be used.
    fn files(&self, names: &[PathBuf]) -> Result<usize, Failure> {
        let preparation = self.classifier.preparation();
        let read = move |chunk: &[PathBuf]| -> Vec<(Image, Prepared)> {
            let image =
                |path: &PathBuf| Image { name: path.display().to_string(), bytes: bounded(fs::File::open(path)) };
            chunk.par_iter().map(|path| prepare(preparation, image(path))).collect()
        };
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for chunk in names.chunks(BATCH) {
                    if send.send(read(chunk)).is_err() {
                        return;
                    }
                }
            });
            let mut broken = 0;
            for batch in receive {
                broken += self.call(batch)?;
            }
            Ok(broken)
        })
    }

    fn images(&self, images: Vec<Image>) -> Result<usize, Failure> {
        self.call(images.into_iter().map(|image| prepare(self.classifier.preparation(), image)).collect())
    }

    fn call(&self, batch: Vec<(Image, Prepared)>) -> Result<usize, Failure> {
        let (images, prepared): (Vec<Image>, Vec<Prepared>) = batch.into_iter().unzip();
        let mut text = String::new();
        let mut broken = 0;
        for ((image, prepared), probability) in
            images.iter().zip(&prepared).zip(self.classifier.probabilities(&prepared))
        {
            let line = match (&image.bytes, prepared, probability) {
                (Ok(_), Ok(_), Some(probability)) => {
                    let class = usize::from(probability >= self.threshold);
                    let own = if class == 1 { probability } else { 1.0 - probability };
                    let [zero, one] = &self.classes;
                    json!({
                        "image": image.name, "label": self.classes[class], "probability": own,
                        "probabilities": { zero: 1.0 - probability, one: probability }
                    })
                }
                (Err(error), ..) => json!({ "image": image.name, "error": format!("It cannot be read: {error}.") }),
                (_, Err(error), _) => json!({ "image": image.name, "error": error.to_string() }),
                (_, _, None) => json!({ "image": image.name, "error": "The network gave no answer." }),
            };
            broken += usize::from(line.get("error").is_some());
            text += &format!("{line}\n");
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::run(error)),
            _ => Ok(broken),
        }
    }
}

fn prepare(preparation: Preparation, image: Image) -> (Image, Prepared) {
    let bytes = image.bytes.as_deref().unwrap_or_default();
    let prepared = preparation.prepare(bytes);
    (image, prepared)
}
