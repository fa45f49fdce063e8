//! Training on a GPU: a step on a batch that is there, a step with its batch cut out of the images and warped there, and whole epochs.
//!
//! `cargo build --release --features cuda --bench gpu` makes a program to carry to a machine with a GPU: `gpu` measures the published
//! network and its ReLU variant at 150x150 and 400x500, batch 32 and 256; `gpu HEIGHT WIDTH BATCH [relu]` one of these. A line of
//! JSON each, with medians. Without the feature the CPU does the same work, to see that the program works.
//! `benches/peers/torch_gpu.py` times PyTorch on it.

use std::time::Instant;

use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use emo_runner::config::{Augment, Experiment, Fill, ImageSize, parse};
use emo_runner::data::augment::Parameters;
use emo_runner::model::fold::products_of_a_step;
use emo_runner::model::shapes::shapes;
use emo_runner::model::{DropoutKey, Network};
use emo_runner::random::{Purpose, Stream};
use emo_runner::train::learner::{Learner, StepSettings};
use emo_runner::train::optimizer::Optimizer;
use emo_runner::train::resident::Resident;

#[cfg(feature = "cuda")]
type Device = emo_runner::train::backend::Cuda;
#[cfg(not(feature = "cuda"))]
type Device = emo_runner::train::backend::Cpu;

type Inner = <Device as AutodiffBackend>::InnerBackend;

/// Images of the tutorial's training set.
const IMAGES: usize = 1304;

/// Epochs that are timed, after one to warm up.
const EPOCHS: usize = 5;

/// Steps that are timed, after so many to warm up: kernels are compiled and chosen in the first.
const STEPS: usize = 30;
const WARM_UP: usize = 5;

/// The ranges of the tutorial.
const AUGMENT: &str =
    "rotation = 40.0\nwidth_shift = 0.2\nheight_shift = 0.2\nshear = 0.2\nzoom = 0.2\nhorizontal_flip = true";

struct Bench {
    experiment: Experiment,
    ranges: Augment,
    size: ImageSize,
    batch: usize,
    images: Resident<Inner>,
    learner: Learner<Device>,
    steps: u64,
}

impl Bench {
    fn new(size: ImageSize, batch: usize, relu: bool) -> Self {
        let activation = if relu { "relu" } else { "linear" };
        let text = format!(
            "[data]\nsource = \"builtin:faces\"\nimage_size = [{}, {}]\n[augment]\n{AUGMENT}\n[model]\nactivation = \"{activation}\"\n[train]\nbatch_size = {batch}\n",
            size.height, size.width
        );
        let experiment = parse(&text, "bench.toml".as_ref(), &[]).expect("the experiment is right").experiment;
        let device = Default::default();
        let mut stream = Stream::new(0, Purpose::Synthesis, 0, 0);
        // A few pictures, many times: what is in them takes no time.
        let pictures: Vec<Vec<u8>> =
            (0..16).map(|_| (0..size.height * size.width * 3).map(|_| (stream.bits() >> 32) as u8).collect()).collect();
        let numbers: Vec<usize> = (0..IMAGES).collect();
        let images = Resident::of(&numbers, |image| &pictures[image % pictures.len()], size, &device);
        let network = Network::new(&experiment, &device).expect("the images are large enough");
        let optimizer = Optimizer::new(experiment.train().optimizer(), 0.0);
        let ranges = experiment.augment().clone();
        let learner = Learner { network: Some(network), optimizer };
        Self { experiment, ranges, size, batch, images, learner, steps: 0 }
    }

    fn batch(&self, chosen: &[usize]) -> Tensor<Inner, 4> {
        let draw = |&image: &usize| {
            Parameters::draw(&self.ranges, self.size, &mut Stream::new(21, Purpose::Augment, self.steps, image as u64))
        };
        let drawn: Vec<Parameters> = chosen.iter().map(draw).collect();
        self.images.batch(chosen, Some((&drawn, Fill::Nearest)))
    }

    fn step(&mut self, images: Tensor<Inner, 4>) -> Tensor<Inner, 1> {
        let labels: Vec<bool> = (0..images.dims()[0]).map(|image| image % 2 == 1).collect();
        let dropout = DropoutKey { seed: 21, epoch: 0, step: self.steps };
        self.steps += 1;
        let settings = StepSettings { labels: &labels, class_weights: [1.0; 2], dropout, learning_rate: 1e-3 };
        self.learner.step_ahead(images, settings).expect("the step is done")
    }

    /// Median seconds of a step that is waited for.
    fn steps(&mut self, with_batch: bool) -> f64 {
        let chosen: Vec<usize> = (0..self.batch).map(|place| place * 7 % IMAGES).collect();
        let images = self.batch(&chosen);
        let mut times = Vec::new();
        for step in 0..WARM_UP + STEPS {
            let started = Instant::now();
            let images = if with_batch { self.batch(&chosen) } else { images.clone() };
            finite(self.step(images));
            if step >= WARM_UP {
                times.push(started.elapsed().as_secs_f64());
            }
        }
        median(times)
    }

    /// Median seconds of an epoch as training does it: nothing is waited for before its end.
    fn epochs(&mut self) -> f64 {
        let order: Vec<usize> = (0..IMAGES).collect();
        let mut times = Vec::new();
        for epoch in 0..=EPOCHS {
            let started = Instant::now();
            let mut logits = Vec::new();
            for chosen in order.chunks(self.batch) {
                let images = self.batch(chosen);
                logits.push(self.step(images));
            }
            finite(Tensor::cat(logits, 0));
            if epoch > 0 {
                times.push(started.elapsed().as_secs_f64());
            }
        }
        median(times)
    }

    /// Floating-point operations of a step: two for each multiply-add.
    fn operations(&self) -> f64 {
        let shapes = shapes(self.experiment.model(), self.size).expect("the images are large enough");
        2.0 * products_of_a_step(&self.experiment, &shapes.layers) as f64
    }
}

fn name<B: Backend>() -> String {
    B::name(&B::Device::default())
}

/// Waits for the device.
fn finite(logits: Tensor<Inner, 1>) {
    let values = logits.into_data().convert::<f32>().into_vec::<f32>().expect("floats");
    assert!(values.iter().all(|value| value.is_finite()), "the network learns");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn measure(height: usize, width: usize, batch: usize, relu: bool) {
    let mut bench = Bench::new(ImageSize { height, width }, batch, relu);
    let (plain, with_batch) = (bench.steps(false), bench.steps(true));
    let epoch = bench.epochs();
    println!(
        "{{\"peer\": \"emo-runner {}\", \"device\": \"{}\", \"h\": {height}, \"w\": {width}, \"batch\": {batch}, \"relu\": {relu}, \
         \"step_ms\": {:.3}, \"step_with_batch_ms\": {:.3}, \"epoch_s\": {epoch:.4}, \"epoch_img_per_s\": {:.0}, \
         \"step_gflop_per_s\": {:.0}}}",
        env!("CARGO_PKG_VERSION"),
        name::<Inner>(),
        plain * 1e3,
        with_batch * 1e3,
        IMAGES as f64 / epoch,
        bench.operations() / plain / 1e9
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    #[cfg(feature = "cuda")]
    if let Err(error) =
        emo_runner::train::backend::check(emo_runner::config::BackendKind::Cuda, None, Default::default())
    {
        eprintln!("{error}");
        std::process::exit(2);
    }
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse().ok());
    if let (Some(height), Some(width), Some(batch)) = (number(0), number(1), number(2)) {
        return measure(height, width, batch, arguments.iter().any(|argument| argument == "relu"));
    }
    for (height, width) in [(150, 150), (400, 500)] {
        for batch in [32, 256] {
            for relu in [false, true] {
                measure(height, width, batch, relu);
            }
        }
    }
}
