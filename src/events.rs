//! What a worker tells the coordinator: the vocabulary of a run's event file.
//!
//! `results/runs/<id>/events.jsonl` holds one JSON object a line, numbered from 0 without gaps. It is the truth about
//! a run: the store is made from it and can be made again. Taking a line twice changes nothing. A torn last line, left
//! by a killed writer, is not an event.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::evaluate::{Ceiling, Evaluation};
use crate::model::LayerShape;

/// One line of the event file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Number of the event in its run, from 0.
    pub seq: u64,
    /// When it was written, RFC 3339 in UTC.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A worker took the run up, for the first time or again.
    Started(Started),
    /// The data are decoded and split.
    Data(DataSummary),
    /// The network is built.
    Model {
        /// Layers from input to output.
        layers: Vec<LayerShape>,
        /// Trainable parameters.
        parameters: usize,
        /// Consecutive linear convolutions that are computed as one, in words.
        folded: Vec<String>,
    },
    /// Images are being decoded; never twice for the same data and size.
    Decoding {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// Where training stands in an epoch; at most one a second, for the eye only.
    Progress(Progress),
    /// An epoch is over and evaluated.
    Epoch(Epoch),
    /// Training is over and the test set evaluated.
    Completed(Completed),
    /// A loss was not a finite number.
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step in the epoch, from 1.
        step: usize,
        /// What the loss was: `NaN` or `inf`.
        loss: String,
    },
    /// The worker was asked to stop and saved its state.
    Interrupted {
        /// Epochs that are complete.
        epochs_done: usize,
        /// Steps done of the next one.
        steps_done: usize,
        /// Who stopped it, where a cluster says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It ran longer than it may; what it had saved is kept. Written by the coordinator, or by the worker of a cluster's job
    /// whose time is nearly up.
    TimedOut {
        /// Seconds that it may run; 0 where they are not known.
        limit: f64,
        /// In a cluster's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A pruner stopped it: others do better. Written by the coordinator.
    Pruned {
        /// Epochs that are complete.
        epochs_done: usize,
        /// Why, for a person to read.
        reason: String,
    },
    /// The run cannot go on.
    Failed {
        /// Why, for a person to read.
        message: String,
        /// What kind of failure, which decides the exit code.
        kind: FailureKind,
    },
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The data cannot be read.
    Data,
    /// Everything else: the backend, a panic, a signal, a full disk.
    Run,
}

/// The circumstances of one attempt at a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Identity of the run: what was asked for, see `schedule::identity`.
    pub run_key: String,
    /// The same without seed and fold: equal for repeats; empty in runs of early versions.
    #[serde(default)]
    pub point_key: String,
    /// Attempts so far, this one included.
    pub attempt: usize,
    /// The run goes on from a checkpoint after this many epochs and steps.
    pub resumed_from: Option<(usize, usize)>,
    /// The resolved experiment file.
    pub experiment: String,
    /// What a sweep varied, in words; empty outside a sweep.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub point: String,
    /// Machine, build and command line.
    pub environment: Environment,
}

/// Machine, build and command line of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of emo-runner.
    pub version: String,
    /// Version of the numerics, part of a run's identity.
    pub numerics: u32,
    /// `burn 0.21.0, flex` and the like.
    pub backend: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Vector instructions in use, such as `avx2 fma avx512f`.
    pub cpu_features: String,
    /// Threads of the computation.
    pub threads: usize,
    /// Host name.
    pub host: String,
    /// Process id of the worker.
    pub pid: u32,
    /// Git commit of the working directory, where it is in a repository.
    pub commit: Option<String>,
    /// Whether that working directory had uncommitted changes.
    pub dirty: Option<bool>,
    /// The command line that the user typed.
    pub command_line: Vec<String>,
}

/// The data of a run after decoding and splitting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Fingerprint of the source's content.
    pub fingerprint: String,
    /// Hash of which image went where.
    pub split_hash: String,
    /// Names of class 0 and 1.
    pub classes: [String; 2],
    /// Training images of class 0 and 1.
    pub train: [usize; 2],
    /// Validation images of class 0 and 1.
    pub validation: [usize; 2],
    /// Test images of class 0 and 1.
    pub test: [usize; 2],
    /// Test images that have a near-duplicate among the training images.
    #[serde(default)]
    pub leaked: usize,
    /// The accuracy that contradicting labels of the same pictures allow, where there are enough of them to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
    /// Whether the pixels came from the cache.
    pub from_cache: bool,
    /// Images left out, with the reason.
    pub broken: Vec<(String, String)>,
    /// Every image: name, class and part, in the data's order.
    pub images: Vec<ImageRow>,
}

/// One image of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRow {
    /// Path in the source.
    pub name: String,
    /// Class, 0 or 1.
    pub label: usize,
    /// Where the split put it.
    pub part: Part,
    /// BLAKE3 of the file's bytes.
    pub content_hash: String,
}

/// A part of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Trained on.
    Train,
    /// For choosing and stopping.
    Validation,
    /// For the verdict only.
    Test,
}

impl Part {
    /// The word used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Where training stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps done in the epoch.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Mean training loss of the epoch so far; none where a device is not asked before the epoch is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Training accuracy of the epoch so far; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Training images a second, in this epoch so far.
    pub images_per_second: f64,
}

impl Progress {
    /// Steps done since the beginning of training.
    pub fn steps_done(&self) -> usize {
        self.epoch.saturating_sub(1).saturating_mul(self.steps).saturating_add(self.step)
    }

    /// `loss 0.6931  accuracy 0.500  2000 images/s`, as far as known.
    pub fn figures(&self) -> String {
        let loss = self.loss.map(|loss| format!("loss {loss:.4}  ")).unwrap_or_default();
        let accuracy = self.accuracy.map(|accuracy| format!("accuracy {accuracy:.3}  ")).unwrap_or_default();
        format!("{loss}{accuracy}{:.0} images/s", self.images_per_second)
    }
}

/// Loss and accuracy on one set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean binary cross-entropy, in nats.
    pub loss: f64,
    /// Share of images called right at threshold 0.5.
    pub accuracy: f64,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Running mean over the epoch's batches, augmentation and dropout on, as Keras reports it.
    pub train: Score,
    /// Which set `held_out` was measured on: validation where there is one, else the test set.
    pub held_out_part: Part,
    /// Without augmentation and dropout, after the epoch.
    pub held_out: Score,
    /// Area under the ROC curve on the same images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_auc: Option<f64>,
    /// Learning rate of the epoch.
    pub learning_rate: f64,
    /// Wall-clock seconds of the epoch, evaluation included.
    pub seconds: f64,
    /// Training images a second, evaluation not counted.
    pub images_per_second: f64,
    /// BLAKE3 of the weights after the epoch.
    pub weights_hash: String,
}

impl Epoch {
    /// The same epoch without what a clock measured: what must be equal in a repetition.
    pub fn timeless(&self) -> Self {
        Self { seconds: 0.0, images_per_second: 0.0, ..self.clone() }
    }
}

/// The end of a run that went well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// Metrics on the test set.
    pub evaluation: Evaluation,
    /// Every test image, in the data's order.
    pub predictions: Vec<Prediction>,
    /// Why training ended before its last epoch, if it did.
    pub stopped_early: Option<String>,
    /// Files in the run's folder worth keeping: name and what it is.
    pub artifacts: Vec<(String, String)>,
    /// Seconds of training and evaluation, over all attempts.
    pub seconds: f64,
    /// Most memory that the worker held at once, in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

/// What the network said about one test image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Path in the source.
    pub name: String,
    /// Class, 0 or 1.
    pub label: usize,
    /// Probability of class 1.
    pub probability: f64,
}

/// Appends events to a run's file.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// Where the next line begins: after a write that failed half-way, what it left is written over.
    end: u64,
    next: u64,
}

impl Writer {
    /// Opens the file for the only writer there may be (the holder of the run's lock), cutting off a torn last line.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut reader = Reader { at_rest: true, ..Reader::default() };
        let lines = reader.read(&mut file)?;
        file.set_len(reader.offset)?;
        // A number is never given twice, be it that of a line which cannot be read any more.
        let next = lines.last().map_or(0, |line| line.seq.saturating_add(1)).max(reader.lines);
        Ok(Self { file, end: reader.offset, next })
    }

    /// Appends one event, as one write.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be written.
    pub fn write(&mut self, event: Event) -> io::Result<()> {
        let line = Line { seq: self.next, time: jiff::Timestamp::now().to_string(), event };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&text)?;
        self.end += text.len() as u64;
        self.next += 1;
        Ok(())
    }

    /// Waits until everything written so far is on the disk.
    ///
    /// # Errors
    /// When the disk says so.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads complete lines as they come.
#[derive(Debug, Default, Clone)]
pub struct Reader {
    offset: u64,
    /// Complete lines so far.
    lines: u64,
    /// Nobody writes any more: what is no event now never will be.
    at_rest: bool,
    /// How often the line at `offset` was looked at in vain.
    looks: u32,
}

/// Looks at a line that is no event before it is passed over though somebody may still write.
const PATIENCE: u32 = 30;

impl Reader {
    /// All events of the complete lines since the last call.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, file: &mut File) -> io::Result<Vec<Line>> {
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut lines = Vec::new();
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let end = self.offset + whole as u64;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            let parsed = serde_json::from_slice(line);
            let place = self.offset + line.len() as u64;
            match parsed {
                Ok(event) => lines.push(event),
                // Through a network file system a line's end can arrive before its middle, as zeros: it is looked at again.
                Err(_) if !self.at_rest && self.looks < PATIENCE && (place == end || line.contains(&0)) => {
                    self.looks += 1;
                    break;
                }
                Err(error) => tracing::warn!(at = self.offset, %error, "a line that is no event is passed over"),
            }
            self.offset = place;
            self.lines += 1;
            self.looks = 0;
        }
        Ok(lines)
    }
}

/// All events of a run that nobody writes to, as far as is known; none when it has no file yet.
///
/// # Errors
/// When the file is there but cannot be read.
pub fn read_all(path: &Path) -> io::Result<Vec<Line>> {
    read_with(path, Reader { at_rest: true, ..Reader::default() })
}

/// Events of a run that somebody else writes to: up to a line that may still be arriving.
///
/// # Errors
/// As above.
pub fn read_arrived(path: &Path) -> io::Result<Vec<Line>> {
    read_with(path, Reader::default())
}

fn read_with(path: &Path, mut reader: Reader) -> io::Result<Vec<Line>> {
    match File::open(path) {
        Ok(mut file) => reader.read(&mut file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupted(steps_done: usize) -> Event {
        Event::Interrupted { epochs_done: 1, steps_done, reason: None }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_numbering_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        Writer::open(&path).unwrap().write(interrupted(1)).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(br#"{"seq":1,"ti"#).unwrap();
        assert_eq!(read_all(&path).unwrap().len(), 1);
        Writer::open(&path).unwrap().write(interrupted(2)).unwrap();
        let lines = read_all(&path).unwrap();
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(lines[1].event, interrupted(2));
    }

    #[test]
    fn a_line_that_is_still_arriving_is_waited_for_and_a_damaged_one_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut writer = Writer::open(&path).unwrap();
        (0..3).for_each(|step| writer.write(interrupted(step)).unwrap());
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let mut arriving = whole.clone();
        arriving[second + 5..second + 20].fill(0);
        std::fs::write(&path, &arriving).unwrap();
        let mut reader = Reader::default();
        let mut file = File::open(&path).unwrap();
        assert_eq!(reader.read(&mut file).unwrap().len(), 1);
        let mut patient = reader.clone();
        let read = (0..=PATIENCE).map(|_| patient.read(&mut file).unwrap().len()).find(|&lines| lines > 0);
        assert_eq!(read, Some(1), "what never arrives is passed over in the end");
        assert_eq!(read_all(&path).unwrap().len(), 2, "nobody writes any more");
        assert_eq!(read_arrived(&path).unwrap().len(), 1, "somebody may");
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(reader.read(&mut file).unwrap().len(), 2, "it has arrived");

        // The last line is damaged for good: its number is not given again.
        let mut damaged = whole;
        let last = damaged.len() - 10;
        damaged[last] = b'#';
        std::fs::write(&path, damaged).unwrap();
        Writer::open(&path).unwrap().write(interrupted(9)).unwrap();
        let lines = read_all(&path).unwrap();
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [0, 1, 3]);
    }
}
