//! What a run will need, from its experiment, corrected by what finished runs needed.

use std::path::Path;

use crate::config::{BackendKind, Experiment, parse};
use crate::model::fold::products_of_a_step;
use crate::model::shapes::{Shapes, shapes};
use crate::store::Measured;
use crate::train::environment::kibibytes;
use crate::train::gpu::{MemoryNeed, memory_need};

/// Finished runs that an estimate is corrected by.
pub const SAMPLE: usize = 50;

/// Bytes that a worker holds before it has any data: program, libraries, thread stacks.
const BASE: f64 = 100e6;

/// What a run needs, before correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Multiply-adds of the whole training.
    work: f64,
    /// Bytes of memory.
    memory: f64,
    /// Bytes of a GPU's memory; `None` for runs that need no GPU.
    on_gpu: Option<MemoryNeed>,
}

/// The cost of an experiment on a data set of `images` images, computed by `threads` threads.
pub fn cost(experiment: &Experiment, images: usize, threads: usize) -> Cost {
    let size = experiment.data().image_size();
    let input = (size.height * size.width * 3) as f64;
    let Ok(shapes) = shapes(experiment.model(), size) else {
        return Cost { work: 0.0, memory: BASE, on_gpu: None };
    };
    let values: usize = shapes.layers.iter().map(|layer| layer.output.iter().product::<usize>()).sum();
    let values = values as f64;
    let train = experiment.train();
    let trained = images as f64 * (1.0 - experiment.split().test());
    let work = products_of_an_image(experiment, &shapes) * trained * train.epochs() as f64;
    // Values, their gradients and one more buffer; batches prepared ahead; weights, gradient, moments, checkpoint.
    let batch = train.batch_size().min(images.max(1)) as f64;
    let memory = BASE + 4.0 * (batch * (3.0 * values + (threads + 4) as f64 * input) + 6.0 * shapes.parameters as f64);
    let on_gpu = (experiment.backend() == BackendKind::Cuda).then(|| memory_need(experiment, images)).flatten();
    Cost { work, memory, on_gpu }
}

/// Multiply-adds of a training step for one image.
fn products_of_an_image(experiment: &Experiment, shapes: &Shapes) -> f64 {
    let batch = experiment.train().batch_size();
    let dense = shapes.layers.iter().filter(|layer| layer.output.len() == 1).map(|layer| layer.parameters);
    // Every weight of a dense layer is used once, forward and for each of the two gradients.
    products_of_a_step(experiment, &shapes.layers) as f64 / batch as f64 + 3.0 * dense.sum::<usize>() as f64
}

/// Corrects costs by experience.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimator {
    /// Seconds of one thread for a multiply-add; `None` before any run on a CPU is finished.
    seconds_per_product: Option<f64>,
    /// Seconds of a GPU for one; `None` before any run on a GPU is finished.
    gpu_seconds_per_product: Option<f64>,
    /// Measured memory as a share of the estimate.
    memory_share: f64,
}

impl Estimator {
    /// From what finished runs needed: the median of each ratio.
    pub fn new(finished: &[Measured]) -> Self {
        let (mut times, mut gpu_times, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        for run in finished {
            let Ok(loaded) = parse(&run.experiment, Path::new("experiment.toml"), &[]) else { continue };
            let cost = cost(&loaded.experiment, run.images, run.threads);
            if cost.work > 0.0 && run.images > 0 {
                match cost.on_gpu {
                    Some(_) => gpu_times.push(run.seconds / cost.work),
                    None => times.push(run.seconds * run.threads as f64 / cost.work),
                }
            }
            if let Some(peak) = run.peak_memory {
                memories.push(peak as f64 / cost.memory);
            }
        }
        let memory_share = median(memories).unwrap_or(1.0).clamp(0.1, 10.0);
        Self { seconds_per_product: median(times), gpu_seconds_per_product: median(gpu_times), memory_share }
    }

    /// Whether it can tell times.
    pub fn has_times(&self) -> bool {
        self.seconds_per_product.is_some() || self.gpu_seconds_per_product.is_some()
    }

    /// The same, with the seconds that one image takes in a training step of an experiment on `threads` threads.
    #[must_use]
    pub fn timed(self, experiment: &Experiment, seconds_per_image: f64, threads: usize) -> Self {
        let shapes = shapes(experiment.model(), experiment.data().image_size()).ok();
        let products =
            shapes.map(|shapes| products_of_an_image(experiment, &shapes)).filter(|&products| products > 0.0);
        let seconds = products.map(|products| seconds_per_image / products);
        if experiment.backend() == BackendKind::Cuda {
            return Self { gpu_seconds_per_product: seconds, ..self };
        }
        Self { seconds_per_product: seconds.map(|seconds| seconds * threads as f64), ..self }
    }

    /// Seconds of a run on `threads` threads, if there is experience.
    pub fn seconds(&self, cost: Cost, threads: usize) -> Option<f64> {
        if cost.on_gpu.is_some() {
            return self.gpu_seconds_per_product.map(|seconds| seconds * cost.work);
        }
        self.seconds_per_product.map(|seconds| seconds * cost.work / threads as f64)
    }

    /// Bytes of memory of a run.
    pub fn memory(&self, cost: Cost) -> u64 {
        (cost.memory * self.memory_share) as u64
    }
}

impl Cost {
    /// Bytes of a GPU's memory; none for runs that need no GPU.
    pub fn on_gpu(&self) -> MemoryNeed {
        self.on_gpu.unwrap_or_default()
    }

    /// For putting the longest run first.
    pub fn work(&self) -> f64 {
        self.work
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Bytes that new processes may take: what is free or can be freed, within the limit of a container.
pub fn available_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let free = kibibytes(&read("/proc/meminfo")?, "MemAvailable:")?;
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let contained = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    Some(contained.map_or(free, |(limit, used)| free.min(limit.saturating_sub(used))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(epochs: usize) -> Experiment {
        let text = format!("[data]\nsource = \"builtin:faces\"\nimage_size = [100, 100]\n[train]\nepochs = {epochs}\n");
        parse(&text, Path::new("x.toml"), &[]).unwrap().experiment
    }

    #[test]
    fn experience_with_one_run_tells_of_a_longer_one() {
        let finished = Measured {
            experiment: experiment(10).to_toml(),
            seconds: 5.0,
            threads: 2,
            peak_memory: Some(200_000_000),
            images: 1630,
        };
        let estimator = Estimator::new(&[finished]);
        let cost = |epochs, threads| super::cost(&experiment(epochs), 1630, threads);
        assert!((estimator.seconds(cost(20, 2), 2).unwrap() - 10.0).abs() < 1e-9);
        assert!((estimator.seconds(cost(10, 1), 1).unwrap() - 10.0).abs() < 1e-9);
        assert!(estimator.memory(cost(20, 2)).abs_diff(200_000_000) <= 1);
        assert_eq!(Estimator::new(&[]).seconds(cost(10, 1), 1), None);
    }
}
