//! Promise: `train.fold` and our own convolutions change nothing but rounding, whatever the network's shape.
//!
//! The same network with the same weights is computed by burn's ndarray backend in f64, folded and not, and by our CPU
//! backend; outputs and the gradients of all parameters are compared.

use burn::backend::{Autodiff, Flex, NdArray};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use emo_runner::config::{Experiment, load};
use emo_runner::model::Network;
use emo_runner::model::kernels::Kernels;
use emo_runner::random::{Purpose, Stream};
use proptest::prelude::*;

/// Logits, then the gradient of every parameter, in the network's order.
type Results = Vec<Vec<f64>>;

struct Gradients<'a, B: AutodiffBackend> {
    gradients: &'a B::Gradients,
    found: Results,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Gradients<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        // The running statistics of a batch normalisation are not trained.
        if !param.is_require_grad() {
            return;
        }
        let gradient = param.val().grad(self.gradients).expect("every parameter has a gradient");
        self.found.push(gradient.into_data().convert::<f64>().into_vec().unwrap());
    }
}

/// The mean of the squared logits is what is differentiated.
fn results<B: AutodiffBackend + Kernels>(experiment: &Experiment, images: &[f32], batch: usize) -> Results {
    let device = B::Device::default();
    let network = Network::<B>::new(experiment, &device).unwrap();
    let size = experiment.data().image_size();
    let data = TensorData::new(images.to_vec(), [batch, size.height, size.width, 3]);
    let logits = network.forward(Tensor::from_data(data, &device), None);
    let values = logits.clone().into_data().convert::<f64>().into_vec().unwrap();
    let gradients = (logits.clone() * logits).mean().backward();
    let mut visitor = Gradients::<B> { gradients: &gradients, found: vec![values] };
    network.visit(&mut visitor);
    visitor.found
}

/// The largest difference, as a share of the largest value of its tensor, or of a thousandth of the largest of all: the
/// gradient of a bias before a batch normalisation is 0 but for rounding.
fn difference(a: &Results, b: &Results) -> f64 {
    assert_eq!(a.len(), b.len());
    let smallest = b.iter().flatten().fold(1e-6, |largest: f64, value| largest.max(value.abs())) * 1e-3;
    let pairs = a.iter().zip(b).map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        let largest = b.iter().fold(smallest, |largest: f64, value| largest.max(value.abs()));
        a.iter().zip(b).fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs())) / largest
    });
    pairs.fold(0.0, f64::max)
}

fn experiment(model: &str, size: [usize; 2], fold: bool) -> Experiment {
    let text = format!(
        "[data]\nsource = \"builtin:faces\"\nimage_size = [{}, {}]\n[model]\n{model}\n[train]\nfold = {fold}\n",
        size[0], size[1]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("experiment.toml");
    std::fs::write(&path, text).unwrap();
    load(&path, &[]).unwrap().experiment
}

fn check(model: &str, size: [usize; 2], batch: usize, seed: u64) {
    let mut stream = Stream::new(seed, Purpose::Synthesis, 0, 0);
    let images: Vec<f32> = (0..batch * size[0] * size[1] * 3).map(|_| stream.uniform() as f32).collect();
    let [folded, unfolded] = [true, false].map(|fold| experiment(model, size, fold));
    let exact = results::<Autodiff<NdArray<f64>>>(&unfolded, &images, batch);
    let exact_folded = results::<Autodiff<NdArray<f64>>>(&folded, &images, batch);
    assert!(difference(&exact_folded, &exact) < 1e-10, "folding in f64: {model} {size:?}");
    for (name, experiment) in [("folded", &folded), ("unfolded", &unfolded)] {
        let ours = results::<Autodiff<Flex>>(experiment, &images, batch);
        let difference = difference(&ours, &exact);
        // A logit of few weights may be a small rest of large terms: 1.2e-4 has been seen.
        assert!(difference < 1e-3, "{name} on the CPU is off by {difference:.1e}: {model} {size:?}");
    }
}

#[test]
fn the_published_network() {
    check("dense = [16, 8]", [91, 91], 2, 1);
    check("dense = [16, 8]", [151, 119], 1, 2);
}

#[test]
fn networks_that_are_not_folded() {
    for settings in ["activation = \"relu\"", "activation = \"tanh\"", "padding = \"same\""] {
        check(&format!("{settings}\nconv = [[8, 6], [12]]\ndense = [8]"), [47, 53], 2, 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_linear_network(
        blocks in prop::collection::vec(prop::collection::vec(1..9_usize, 1..4), 1..3),
        kernel in 1..5_usize,
        stride in 1..4_usize,
        pool in 1..3_usize,
        extra in (0..20_usize, 0..20_usize),
        batch in 1..4_usize,
        seed in any::<u64>(),
    ) {
        // The smallest input that passes, from the output backwards.
        let mut smallest = 1;
        for block in blocks.iter().rev() {
            smallest *= pool;
            for _ in block {
                smallest = (smallest - 1) * stride + kernel;
            }
        }
        prop_assume!(smallest <= 120);
        let model = format!("conv = {blocks:?}\nkernel = {kernel}\nstride = {stride}\npool = {pool}\ndense = [5]");
        check(&model, [smallest + extra.0, smallest + extra.1], batch, seed);
    }
}
