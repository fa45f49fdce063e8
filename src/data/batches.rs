//! Batches of images, made ahead of the trainer by threads of their own.
//!
//! Each thread makes whole batches straight from the mapped pixels into a buffer; batch `k` comes from thread
//! `k mod threads`, so batches arrive in order and nothing depends on how many threads there are. Buffers go round:
//! the trainer hands each one back.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::augment::{Parameters, warp};
use super::cache::Dataset;
use crate::config::{Augment, ImageSize};
use crate::random::{Purpose, Stream};

/// Batches that wait ready, for each thread that makes them.
const AHEAD: usize = 1;

/// How training images are varied: by ranges, and by streams of (seed, epoch, image).
#[derive(Debug, Clone, Copy)]
pub struct Augmentation<'a> {
    /// Ranges of the parameters.
    pub ranges: &'a Augment,
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
}

impl Augmentation<'_> {
    /// Variation of an image of a size.
    fn of(&self, image: usize, size: ImageSize) -> Parameters {
        Parameters::draw(self.ranges, size, &mut Stream::new(self.seed, Purpose::Augment, self.epoch, image as u64))
    }
}

/// Images ready for the network.
#[derive(Debug)]
pub struct Batch {
    /// Number of the batch in its epoch, from 0.
    pub step: usize,
    /// `[images, height, width, 3]` in [0, 1].
    pub pixels: Vec<f32>,
    /// True for class 1.
    pub labels: Vec<bool>,
}

/// What to make batches of.
#[derive(Debug, Clone, Copy)]
pub struct Batches<'a> {
    /// The decoded images.
    pub dataset: &'a Dataset,
    /// Indices in the order of the epoch.
    pub order: &'a [usize],
    /// Images a batch; the last one may have fewer.
    pub batch_size: usize,
    /// Variation, for training images.
    pub augmentation: Option<Augmentation<'a>>,
    /// Threads that make batches.
    pub threads: usize,
}

impl Batches<'_> {
    /// Batches of an epoch.
    pub fn steps(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    /// Images of a batch, by their place in the data set.
    pub fn images(&self, step: usize) -> &[usize] {
        let start = step * self.batch_size;
        &self.order[start..(start + self.batch_size).min(self.order.len())]
    }

    /// How each of some images is varied in this epoch; `None` where none is.
    pub fn variation(&self, images: &[usize]) -> Option<Vec<Parameters>> {
        let augmentation = self.augmentation?;
        Some(images.iter().map(|&image| augmentation.of(image, self.dataset.size())).collect())
    }

    /// Calls `each` with every batch from number `first` on, until it breaks. `each` returns the pixels' memory when it
    /// can, to be used again.
    pub fn for_each<R>(
        &self,
        first: usize,
        mut each: impl FnMut(Batch) -> ControlFlow<R, Option<Vec<f32>>>,
    ) -> ControlFlow<R> {
        let threads = self.threads.clamp(1, self.steps().saturating_sub(first).max(1));
        std::thread::scope(|scope| {
            let mut lines: Vec<Line> = Vec::new();
            for thread in 0..threads {
                let (send_batch, batches) = sync_channel(AHEAD);
                let (buffers, take_buffer) = sync_channel(AHEAD + 2);
                lines.push(Line { batches, buffers });
                scope.spawn(move || self.make(first + thread, threads, &send_batch, &take_buffer));
            }
            for step in first..self.steps() {
                let line = &lines[(step - first) % threads];
                let Ok(batch) = line.batches.recv() else { break };
                if let Some(buffer) = each(batch)? {
                    // A full or closed line only means that the buffer is not needed.
                    let _ = line.buffers.try_send(buffer);
                }
            }
            ControlFlow::Continue(())
        })
    }

    fn make(&self, first: usize, stride: usize, send: &SyncSender<Batch>, buffers: &Receiver<Vec<f32>>) {
        for step in (first..self.steps()).step_by(stride) {
            let buffer = buffers.try_recv().unwrap_or_default();
            if send.send(self.batch(step, buffer)).is_err() {
                return;
            }
        }
    }

    fn batch(&self, step: usize, mut pixels: Vec<f32>) -> Batch {
        let images = self.images(step);
        let size = self.dataset.size();
        let length = size.height * size.width * 3;
        pixels.resize(images.len() * length, 0.0);
        for (&image, out) in images.iter().zip(pixels.chunks_exact_mut(length)) {
            let (parameters, fill) = match self.augmentation {
                Some(augmentation) => (augmentation.of(image, size), augmentation.ranges.fill()),
                None => (Parameters::IDENTITY, crate::config::Fill::Nearest),
            };
            warp(self.dataset.pixels(image), size, &parameters, fill, out);
        }
        let labels = images.iter().map(|&image| self.dataset.label(image) == 1).collect();
        Batch { step, pixels, labels }
    }
}

/// The two channels between the trainer and one thread.
struct Line {
    batches: Receiver<Batch>,
    buffers: SyncSender<Vec<f32>>,
}
