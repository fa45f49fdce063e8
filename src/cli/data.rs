//! `data`: look at, synthesize, unpack and split data.

use std::io::{Cursor, IsTerminal};
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::{FAILED, Failure, USAGE};
use super::{Global, open, print, print_json};
use crate::config::{Experiment, ImageSize, Interpolation, parse};
use crate::data::cache::Dataset;
use crate::data::describe::{Count, Description, describe};
use crate::data::sheet::{augmented_sheet, sheet};
use crate::data::source::OpenSource;
use crate::data::split::{Shares, split};
use crate::data::synthesize::{Settings, write_folder};
use crate::data::unpack::{unpack, write_split};
use crate::report::on_one_line;
use crate::report::summary::percent;
use crate::train::folder::write_atomically;

/// Images of each class on a contact sheet, and images in a row of it.
const SHEET: (usize, usize) = (40, 10);

/// Rows and columns of the sheet of augmented images.
const AUGMENTED_SHEET: (usize, usize) = (8, 8);

/// What to do with data.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print counts, balance, the naive accuracy, sizes, formats and broken files.
    #[command(after_help = super::examples::DESCRIBE)]
    Describe(Describe),
    /// Find duplicates, contradicting labels, leakage over the split, the accuracy ceiling that they imply, and odd images.
    #[command(after_help = super::examples::AUDIT)]
    Audit(super::audit::Audit),
    /// Write a source as a folder with a folder for each class.
    #[command(after_help = super::examples::UNPACK)]
    Unpack(Unpack),
    /// Write train/ and valid/ folders, each with a folder for each class, as the tutorial's prepare_data does.
    #[command(after_help = super::examples::SPLIT)]
    Split(Split),
    /// Draw faces with planted label noise and near-duplicates, and the truth about them.
    #[command(after_help = super::examples::SYNTHESIZE)]
    Synthesize(Synthesize),
}

/// A source and its classes.
#[derive(Debug, clap::Args)]
pub(super) struct From {
    /// A folder, a .zip, builtin:emoji, builtin:faces, or an experiment file, whose [data] section is taken.
    source: String,
    /// Names of the class folders: class 0, class 1.
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "Negative,Positive", value_name = "ZERO,ONE")]
    classes: Vec<String>,
}

/// Arguments of `data describe`.
#[derive(Debug, clap::Args)]
pub struct Describe {
    #[command(flatten)]
    from: From,
    /// Write a contact sheet of each class as a PNG.
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Write a sheet of augmented images as a PNG, the original first in each row; the ranges are those of the experiment
    /// file, else the tutorial's.
    #[arg(long, value_name = "FILE")]
    augmented: Option<PathBuf>,
}

/// Arguments of `data unpack`.
#[derive(Debug, clap::Args)]
pub struct Unpack {
    #[command(flatten)]
    from: From,
    /// The folder to write; it must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Arguments of `data split`.
#[derive(Debug, clap::Args)]
pub struct Split {
    #[command(flatten)]
    from: From,
    /// The folder to write; it must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Seed of the shuffle. Default: the experiment file's, else 21.
    #[arg(long)]
    seed: Option<u64>,
    /// Share of every class that goes to the test set. Default: the experiment file's, else 0.2.
    #[arg(long)]
    test: Option<f64>,
    /// Share of what is left that goes to the validation set. Default: the experiment file's, else 0.
    #[arg(long)]
    validation: Option<f64>,
}

/// Arguments of `data synthesize`.
#[derive(Debug, clap::Args)]
pub struct Synthesize {
    /// Images to draw.
    #[arg(long, default_value_t = 1630)]
    images: usize,
    /// Share of the labels that are wrong.
    #[arg(long, default_value_t = 0.2)]
    label_noise: f64,
    /// Share of the images that are near-duplicates of another.
    #[arg(long, default_value_t = 0.0)]
    duplicates: f64,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 21)]
    seed: u64,
    /// The folder to write; it must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Does it.
pub fn run(command: &Command, global: &Global) -> Result<(), Failure> {
    match command {
        Command::Describe(args) => run_describe(args, global),
        Command::Audit(args) => super::audit::run(args, global),
        Command::Unpack(args) => run_unpack(args, global),
        Command::Split(args) => run_split(args, global),
        Command::Synthesize(args) => run_synthesize(args, global),
    }
}

impl From {
    /// The experiment whose data are meant: that of a file, or a default one around a source.
    fn experiment(&self) -> Result<Experiment, Failure> {
        if Path::new(&self.source).extension().is_some_and(|extension| extension == "toml") {
            return open::experiment(Path::new(&self.source), &[]);
        }
        let text = toml::Value::from(self.source.as_str());
        let classes = toml::Value::from(self.classes.clone());
        let overrides = [format!("data.source={text}"), format!("data.classes={classes}")];
        let augment = "[augment]\nrotation = 40.0\nwidth_shift = 0.2\nheight_shift = 0.2\nshear = 0.2\nzoom = 0.2\n\
                       horizontal_flip = true\n";
        Ok(parse(augment, Path::new("data.toml"), &overrides)?.experiment)
    }

    pub(super) fn open(&self) -> Result<(Experiment, OpenSource), Failure> {
        let experiment = self.experiment()?;
        let source = OpenSource::open(experiment.data().source(), experiment.data().classes())?;
        Ok((experiment, source))
    }
}

fn run_describe(args: &Describe, global: &Global) -> Result<(), Failure> {
    let (experiment, source) = args.from.open()?;
    let cache = global.results().cache();
    let bar = progress_bar(global, "images read");
    let described = describe(&source, Some(&cache), &|done, total| advance(&bar, done, total));
    bar.finish_and_clear();
    let description = described?;
    if args.samples.is_some() || args.augmented.is_some() {
        let dataset = thumbnails(&experiment, &source, &cache)?;
        if let Some(file) = &args.samples {
            write_png(file, &sheet(&dataset, SHEET.0, SHEET.1))?;
        }
        if let Some(file) = &args.augmented {
            let (rows, columns) = AUGMENTED_SHEET;
            write_png(file, &augmented_sheet(&dataset, experiment.augment(), experiment.seed(), rows, columns))?;
        }
    }
    if global.json { print_json(&description) } else { print(&words(&description)) }
}

/// The data at the size of a contact sheet's cells, of the experiment's proportions.
fn thumbnails(experiment: &Experiment, source: &OpenSource, cache: &Path) -> Result<Dataset, Failure> {
    let size = experiment.data().image_size();
    let scale = 120.0 / size.height.max(size.width) as f64;
    let side = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    let size = ImageSize { height: side(size.height), width: side(size.width) };
    Ok(Dataset::load(source, size, Interpolation::Bilinear, true, cache, &|_, _| {})?)
}

fn write_png(file: &Path, picture: &RgbImage) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).map_err(Failure::run)?;
    write_atomically(file, &bytes)
        .map_err(|error| Failure::new(FAILED, format!("{} cannot be written: {error}.", file.display())))
}

fn words(description: &Description) -> String {
    let counts = |counts: &[Count]| -> String {
        counts.iter().map(|count| format!("{} {}", count.images, count.name)).collect::<Vec<_>>().join(", ")
    };
    let [zero, one] = &description.classes;
    let naive = &description.classes[description.naive_class.min(1)].name;
    let mut text = format!(
        "Source       {}\nImages       {}: {} {} ({}), {} {} ({})\nNaive        {} by always answering \"{naive}\"\n",
        description.source,
        description.images,
        zero.images,
        zero.name,
        percent(zero.share),
        one.images,
        one.name,
        percent(one.share),
        percent(description.naive_accuracy)
    );
    if let Some(sizes) = &description.sizes {
        let (width, height) = sizes.most_common;
        text += &format!(
            "Width        {} to {}, median {} pixels\nHeight       {} to {}, median {} pixels\n\
             Sizes        {} different; most often {width} wide, {height} high ({} images)\n",
            sizes.width.min,
            sizes.width.max,
            sizes.width.median,
            sizes.height.min,
            sizes.height.max,
            sizes.height.median,
            sizes.different,
            sizes.most_common_images
        );
    }
    let duplicates = description.duplicates;
    text += &format!(
        "Formats      {}\nColours      {}\nBytes        {}\nDuplicates   {} files repeat another's content; {} contents \
         stand in both classes\nIgnored      {} files and folders (litter, links, files outside the class folders)\n\
         Broken       {}\nFingerprint  {}\n",
        counts(&description.formats),
        counts(&description.colors),
        description.bytes,
        duplicates.images,
        duplicates.contradicting_groups,
        description.ignored,
        description.broken.len(),
        description.fingerprint
    );
    for broken in &description.broken {
        text += &format!("  {}: {}\n", on_one_line(&broken.name), broken.reason);
    }
    text
}

fn run_unpack(args: &Unpack, global: &Global) -> Result<(), Failure> {
    let (_, source) = args.from.open()?;
    let written = unpack(&source, &args.to)?;
    report_written(global, written, &args.to)
}

fn run_split(args: &Split, global: &Global) -> Result<(), Failure> {
    let (experiment, source) = args.from.open()?;
    let settings = experiment.split();
    let test = args.test.unwrap_or(settings.test());
    let validation = args.validation.unwrap_or(settings.validation());
    let valid = test > 0.0 && test < 1.0 && (0.0..1.0).contains(&validation);
    if !valid {
        let message = "--test is a share above 0 and below 1, --validation a share of at least 0 and below 1.";
        return Err(Failure::new(USAGE, message));
    }
    let cache = global.results().cache();
    let skip_broken = experiment.data().skip_broken();
    // Only which images are good matters here, so the smallest cache will do.
    let size = ImageSize { height: 1, width: 1 };
    let dataset = Dataset::load(&source, size, Interpolation::Nearest, skip_broken, &cache, &|_, _| {})?;
    let labels: Vec<usize> = (0..dataset.len()).map(|image| dataset.label(image)).collect();
    let groups = settings.keep_duplicates_together().then(|| dataset.duplicate_groups());
    let seed = args.seed.unwrap_or(experiment.split_seed());
    let parts = split(&labels, groups.as_deref(), seed, Shares { test, validation, fold: None })?;
    let written = write_split(&source, &dataset, &parts, &args.to)?;
    report_written(global, written, &args.to)
}

fn run_synthesize(args: &Synthesize, global: &Global) -> Result<(), Failure> {
    let settings = Settings {
        images: args.images,
        positive: None,
        label_noise: args.label_noise,
        duplicates: args.duplicates,
        seed: args.seed,
    };
    settings.validate().map_err(|error| Failure::new(USAGE, error))?;
    let classes = ["Negative".to_owned(), "Positive".to_owned()];
    let bar = progress_bar(global, "faces drawn");
    let result = write_folder(&settings, &args.to, &classes, &|done| advance(&bar, done, args.images));
    bar.finish_and_clear();
    result.map_err(Failure::run)?;
    report_written(global, args.images, &args.to)
}

fn report_written(global: &Global, images: usize, to: &Path) -> Result<(), Failure> {
    if global.json {
        return print_json(&serde_json::json!({ "images": images, "folder": to }));
    }
    print(&format!("{images} images written to {}\n", to.display()))
}

pub(super) fn progress_bar(global: &Global, unit: &str) -> ProgressBar {
    let shown = std::io::stderr().is_terminal() && !global.quiet && !global.json;
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:30}} {{pos}}/{{len}} {unit}")) {
        bar.set_style(style);
    }
    bar
}

pub(super) fn advance(bar: &ProgressBar, done: usize, total: usize) {
    bar.set_length(total as u64);
    bar.set_position(done as u64);
}
