//! One training step of the published network and of its ReLU variant, batch 32: forward, loss, backward, Adam.
//!
//! `cargo bench --bench step` measures all of them; `... -- HEIGHT WIDTH STEPS [relu]` one, and prints a line of JSON with
//! the median, as the peers' scripts do.

use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use criterion::{Criterion, Throughput};
use emo_runner::config::{ImageSize, load};
use emo_runner::data::tensor::images_tensor;
use emo_runner::model::{DropoutKey, Network};
use emo_runner::random::{Purpose, Stream};
use emo_runner::schedule::local::allocator_settings;
use emo_runner::train::backend::Cpu;
use emo_runner::train::learner::{Learner, StepSettings};
use emo_runner::train::optimizer::Optimizer;

const BATCH: usize = 32;

type Images = Tensor<<Cpu as burn::tensor::backend::AutodiffBackend>::InnerBackend, 4>;

/// A network that has a batch to learn from.
struct Bench {
    learner: Learner<Cpu>,
    images: Images,
    labels: Vec<bool>,
    steps: u64,
}

impl Bench {
    fn new(height: usize, width: usize, relu: bool) -> Self {
        let activation = if relu { "relu" } else { "linear" };
        let text = format!(
            "[data]\nsource = \"builtin:faces\"\nimage_size = [{height}, {width}]\n[model]\nactivation = \"{activation}\"\n"
        );
        let path = std::env::temp_dir().join(format!("emo-runner-bench-{}.toml", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder can be written");
        let experiment = load(&path, &[]).expect("the experiment is right").experiment;
        let _ = std::fs::remove_file(&path);
        let device = Default::default();
        let network = Network::new(&experiment, &device).expect("the images are large enough");
        let optimizer = Optimizer::new(experiment.train().optimizer(), 0.0);
        let mut stream = Stream::new(0, Purpose::Synthesis, 0, 0);
        let pixels = (0..BATCH * height * width * 3).map(|_| stream.uniform() as f32).collect();
        let images = images_tensor(pixels, ImageSize { height, width }, &device);
        let labels = (0..BATCH).map(|_| stream.chance(0.53)).collect();
        Self { learner: Learner { network: Some(network), optimizer }, images, labels, steps: 0 }
    }

    fn step(&mut self) {
        let dropout = DropoutKey { seed: 21, epoch: 0, step: self.steps };
        let settings = StepSettings { labels: &self.labels, class_weights: [1.0; 2], dropout, learning_rate: 1e-3 };
        let stepped = black_box(self.learner.step(self.images.clone(), settings));
        assert!(stepped.is_some_and(|stepped| stepped.loss.is_finite()), "the step learns");
        self.steps += 1;
    }
}

fn one(height: usize, width: usize, steps: usize, relu: bool) {
    let mut bench = Bench::new(height, width, relu);
    let mut times: Vec<f64> = (0..steps.max(3))
        .map(|_| {
            let started = Instant::now();
            bench.step();
            started.elapsed().as_secs_f64()
        })
        .collect();
    // The first two warm up, as in the peers' scripts.
    times.drain(..2);
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "{{\"peer\": \"emo-runner {}\", \"h\": {height}, \"w\": {width}, \"relu\": {relu}, \"step_ms\": {}, \"img_per_s\": {}}}",
        env!("CARGO_PKG_VERSION"),
        median * 1e3,
        BATCH as f64 / median
    );
}

fn all() {
    let mut criterion =
        Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3)).configure_from_args();
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (height, width) in [(150, 150), (400, 500)] {
        for (name, relu) in [("published", false), ("relu", true)] {
            let mut bench = Bench::new(height, width, relu);
            group.bench_function(format!("{height}x{width} {name}"), |b| b.iter(|| bench.step()));
        }
    }
    group.finish();
    criterion.final_summary();
}

/// Starts this program again with the allocator's settings of a worker: they are read when a process starts.
fn as_worker() {
    if std::env::var_os("GLIBC_TUNABLES").is_none() {
        let program = std::env::current_exe().expect("the program knows its file");
        let error =
            Command::new(program).args(std::env::args_os().skip(1)).env("GLIBC_TUNABLES", allocator_settings()).exec();
        panic!("the benchmark cannot start again: {error}");
    }
}

fn main() {
    as_worker();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse().ok());
    match (number(0), number(1), number(2)) {
        (Some(height), Some(width), Some(steps)) => one(height, width, steps, arguments.iter().any(|a| a == "relu")),
        _ => all(),
    }
}
