//! Random numbers that depend on what they are for, and on nothing else.
//!
//! Every number comes from a ChaCha8 stream whose key is a hash of (seed, purpose, epoch, item). ChaCha is
//! a counter-mode generator, so a stream costs nothing to open anywhere: the augmentation of image 17 in epoch 3
//! is the same whichever thread draws it, and whether or not the run was interrupted before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is used for. Two purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Which images go to the test and validation sets.
    Split,
    /// Initial weights.
    Weights,
    /// The order of the training images in an epoch.
    Shuffle,
    /// Augmentation parameters of one image in one epoch.
    Augment,
    /// Dropout masks of one layer in one step.
    Dropout,
    /// Drawn faces.
    Synthesis,
    /// Points of a sweep.
    Search,
}

impl Purpose {
    /// Part of the key, hence of every result: never change a name.
    fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Weights => "weights",
            Self::Shuffle => "shuffle",
            Self::Augment => "augment",
            Self::Dropout => "dropout",
            Self::Synthesis => "synthesis",
            Self::Search => "search",
        }
    }
}

/// A stream of random numbers for one purpose.
///
/// ```
/// use emo_runner::random::{Purpose, Stream};
/// let mut a = Stream::new(21, Purpose::Augment, 3, 17);
/// let mut b = Stream::new(21, Purpose::Augment, 3, 17);
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of (`seed`, `purpose`, `epoch`, `item`), from its beginning.
    pub fn new(seed: u64, purpose: Purpose, epoch: u64, item: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("emo-runner 2026 random stream");
        hasher.update(purpose.name().as_bytes());
        for number in [seed, epoch, item] {
            hasher.update(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// The generator itself, for libraries that draw from one.
    pub fn generator(&mut self) -> &mut impl Rng {
        &mut self.0
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [`low`, `high`).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in 0..`n` without bias (Lemire, "Fast Random Integer Generation in an Interval", 2019). `n` is at least 1.
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0);
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// Standard normal, by the method of Box and Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles in place (Fisher and Yates, in Durstenfeld's form).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}
