//! Promise: training whose batches are made on a device, and whose losses are read once an epoch, is the training that the CPU does:
//! from the same weights, on the same batches, with losses that agree within a thousandth; stopped, it goes on to the same bits.

mod support;

use std::fs;
use std::path::Path;

use burn::tensor::backend::AutodiffBackend;
use emo_runner::config::{Experiment, Interpolation, load};
use emo_runner::data::cache::Dataset;
use emo_runner::data::source::OpenSource;
use emo_runner::data::split::{Shares, Split, split};
use emo_runner::events::{Epoch, Event, Writer, read_all};
use emo_runner::model::kernels::Kernels;
use emo_runner::train::backend::Cpu;
use emo_runner::train::folder::RunFolder;
use emo_runner::train::interrupt::Interrupt;
use emo_runner::train::resident::Resident;
use emo_runner::train::training::{Outcome, Training};
use support::{Lab, SMALL};

/// An experiment of a lab with its data.
struct Rig {
    lab: Lab,
    experiment: Experiment,
    dataset: Dataset,
    split: Split,
}

impl Rig {
    fn new(text: &str) -> Self {
        let lab = Lab::new();
        lab.write("e.toml", text);
        let experiment = load(&lab.path("e.toml"), &[]).unwrap().experiment;
        let data = experiment.data();
        let source = OpenSource::open(data.source(), data.classes()).unwrap();
        let size = data.image_size();
        let dataset =
            Dataset::load(&source, size, Interpolation::Bilinear, false, &lab.path("cache"), &|_, _| {}).unwrap();
        let labels: Vec<usize> = (0..dataset.len()).map(|image| dataset.label(image)).collect();
        let shares = Shares { test: 0.2, validation: 0.2, fold: None };
        let split = split(&labels, None, experiment.split_seed(), shares).unwrap();
        Self { lab, experiment, dataset, split }
    }

    /// Trains in a folder of its own, from its checkpoint if it has one.
    fn train<B>(&self, name: &str, on_device: bool, interrupt: &Interrupt) -> (Outcome<B::InnerBackend>, Vec<Epoch>)
    where
        B: AutodiffBackend<InnerBackend: Kernels> + Kernels,
    {
        let folder = self.lab.path(name);
        fs::create_dir_all(&folder).unwrap();
        let folder = RunFolder::new(folder);
        let device = B::Device::default();
        let training = Training::<B> {
            experiment: &self.experiment,
            dataset: &self.dataset,
            split: &self.split,
            resident: on_device.then(|| Resident::upload(&self.dataset, &device)),
            device,
            folder: &folder,
            threads: 2,
            interrupt,
        };
        let mut events = Writer::open(&folder.events()).unwrap();
        let outcome = training.run(&mut events).unwrap();
        (outcome, epochs(&folder.events()))
    }
}

/// Epochs of an event file, each once.
fn epochs(path: &Path) -> Vec<Epoch> {
    let mut epochs: Vec<Epoch> = Vec::new();
    for line in read_all(path).unwrap() {
        if let Event::Epoch(epoch) = line.event {
            epochs.retain(|other| other.epoch != epoch.epoch);
            epochs.push(epoch.timeless());
        }
    }
    epochs
}

const ALL: &str =
    "rotation = 30.0\nwidth_shift = 0.2\nheight_shift = 0.2\nshear = 10.0\nzoom = 0.2\nhorizontal_flip = true";

fn text(augment: &str) -> String {
    SMALL.replace("rotation = 10.0\nhorizontal_flip = true", augment)
}

fn agrees<B: AutodiffBackend<InnerBackend: Kernels> + Kernels>(augment: &str) {
    let rig = Rig::new(&text(augment));
    let never = Interrupt::default();
    let (_, on_cpu) = rig.train::<Cpu>("cpu", false, &never);
    let (_, on_device) = rig.train::<B>("device", true, &never);
    assert_eq!((on_cpu.len(), on_device.len()), (4, 4));
    for (a, b) in on_cpu.iter().zip(&on_device) {
        let far = (a.train.loss - b.train.loss).abs().max((a.held_out.loss - b.held_out.loss).abs());
        assert!(far < 1e-3, "{augment}: epoch {}: {a:?} {b:?}", a.epoch);
    }
}

#[test]
fn losses_agree_with_those_of_the_cpu() {
    for augment in ["", "horizontal_flip = true", ALL] {
        agrees::<Cpu>(augment);
    }
    for fill in ["constant", "reflect", "wrap"] {
        agrees::<Cpu>(&format!("{ALL}\nfill = \"{fill}\""));
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn losses_agree_on_another_backend() {
    agrees::<emo_runner::train::backend::NdArray>(ALL);
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn losses_agree_on_a_gpu() {
    agrees::<emo_runner::train::backend::Cuda>(ALL);
}

#[test]
fn without_variation_the_bits_are_the_same() {
    let rig = Rig::new(&text(""));
    let never = Interrupt::default();
    assert_eq!(rig.train::<Cpu>("cpu", false, &never).1, rig.train::<Cpu>("device", true, &never).1);
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    let rig = Rig::new(&text(ALL).replace("epochs = 4", "epochs = 60").replace("batch_size = 8", "batch_size = 1"));
    let expected = rig.train::<Cpu>("whole", true, &Interrupt::default()).1;
    assert_eq!(expected.len(), 60);
    for (round, wanted) in [1, 3, 7].into_iter().enumerate() {
        let name = format!("stopped {round}");
        let interrupt = Interrupt::default();
        let events = rig.lab.path(&name).join("events.jsonl");
        let (outcome, _) = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Somewhere in an epoch.
                while !events.exists() || epochs(&events).len() < wanted {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                interrupt.raise();
            });
            rig.train::<Cpu>(&name, true, &interrupt)
        });
        assert!(matches!(outcome, Outcome::Interrupted { .. }), "{round}: {outcome:?}");
        let (outcome, epochs) = rig.train::<Cpu>(&name, true, &Interrupt::default());
        assert!(matches!(outcome, Outcome::Trained { .. }));
        assert_eq!(epochs, expected, "{round}");
    }
}

#[test]
fn a_loss_that_is_not_finite_is_found_at_its_step() {
    let wild =
        text(ALL).replace("batch_size = 8", "batch_size = 8\noptimizer = \"sgd\"\nlearning_rate = 10.0\nepochs = 40");
    let wild = wild.replace("epochs = 4\n", "");
    let rig = Rig::new(&wild);
    let never = Interrupt::default();
    let (on_cpu, _) = rig.train::<Cpu>("cpu", false, &never);
    let (on_device, _) = rig.train::<Cpu>("device", true, &never);
    let place = |outcome: &Outcome<_>| match outcome {
        Outcome::Diverged { epoch, .. } => *epoch,
        other => panic!("it should diverge: {other:?}"),
    };
    assert_eq!(place(&on_cpu), place(&on_device));
}
