//! Consecutive linear convolutions as one.
//!
//! Without an activation between them, a convolution of kernel k and stride s after one of kernel K and stride S is one
//! of kernel K + (k - 1) S and stride S s. Its weights are the transposed convolution, stride S, of the second's with
//! the first's, its bias `b2 + sum(W2) b1`. That is exact, differentiable through the small kernels, and cheaper where
//! images are large and the first input has few channels.

use super::shapes::LayerShape;
use crate::config::{Activation, Experiment, Padding};

/// Convolutions of one block that are computed as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Place of the first in the block.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Side of the kernel of all together.
    pub kernel: usize,
    /// Stride of all together.
    pub stride: usize,
}

/// The groups of every block, in order; where nothing is folded each group is one convolution.
///
/// Whether folding pays is decided by the multiply-adds of a training step, so by sizes only.
pub fn groups(experiment: &Experiment, layers: &[LayerShape]) -> Vec<Vec<Group>> {
    let blocks = costed(experiment, layers);
    blocks.into_iter().map(|groups| groups.into_iter().map(|(group, _)| group).collect()).collect()
}

/// Multiply-adds of the convolutions in a training step, folded where that pays.
pub fn products_of_a_step(experiment: &Experiment, layers: &[LayerShape]) -> usize {
    costed(experiment, layers).iter().flatten().map(|(group, cost)| cost.of(*group)).sum()
}

fn costed(experiment: &Experiment, layers: &[LayerShape]) -> Vec<Vec<(Group, Cost)>> {
    let (model, size) = (experiment.model(), experiment.data().image_size());
    let may_fold = experiment.train().fold()
        && model.activation() == Activation::Linear
        && !model.batch_norm()
        && model.padding() == Padding::Valid;
    let batch = experiment.train().batch_size();
    let mut outputs = layers.iter().map(|layer| layer.output.as_slice());
    let mut input = vec![size.height, size.width, 3];
    let mut blocks = Vec::new();
    for filters in model.conv() {
        let mut groups: Vec<(Group, Cost)> = Vec::new();
        for (place, _) in filters.iter().enumerate() {
            let output = outputs.next().unwrap_or_default().to_vec();
            let group = Group { first: place, count: 1, kernel: model.kernel(), stride: model.stride() };
            let single = Cost { input: input.clone(), output: output.clone(), batch, composing: 0 };
            input.clone_from(&output);
            let folded = groups.last().filter(|_| may_fold).map(|(last, cost)| {
                let kernel = last.kernel + (group.kernel - 1) * last.stride;
                let stride = last.stride * group.stride;
                let middle = single.input[2];
                let composing = (last.kernel * group.kernel).pow(2) * cost.input[2] * middle * output[2];
                let together = Group { first: last.first, count: last.count + 1, kernel, stride };
                let cost = Cost { input: cost.input.clone(), output, batch, composing: cost.composing + composing };
                (together, cost)
            });
            match (folded, groups.last_mut()) {
                (Some((together, cost)), Some(last)) if cost.of(together) < last.1.of(last.0) + single.of(group) => {
                    *last = (together, cost);
                }
                _ => groups.push((group, single)),
            }
        }
        input = outputs.next().unwrap_or_default().to_vec();
        blocks.push(groups);
    }
    blocks
}

/// What is folded, for the run's record: `conv1_1 to conv1_2 as one 7x7 convolution with stride 4`.
pub fn describe(blocks: &[Vec<Group>]) -> Vec<String> {
    let groups =
        blocks.iter().enumerate().flat_map(|(block, groups)| groups.iter().map(move |group| (block + 1, group)));
    let folded = groups.filter(|(_, group)| group.count > 1);
    folded
        .map(|(block, Group { first, count, kernel, stride })| {
            let last = first + count;
            let first = first + 1;
            format!(
                "conv{block}_{first} to conv{block}_{last} as one {kernel}x{kernel} convolution with stride {stride}"
            )
        })
        .collect()
}

/// What a group's multiply-adds depend on besides its kernel.
struct Cost {
    input: Vec<usize>,
    output: Vec<usize>,
    batch: usize,
    /// Multiply-adds to make the kernel of all together.
    composing: usize,
}

impl Cost {
    /// Multiply-adds of a step: forward, for the weights, and for the input unless that is the pixels.
    fn of(&self, group: Group) -> usize {
        let passes = if self.input[2] == 3 { 2 } else { 3 };
        let output: usize = self.output.iter().product();
        passes * self.batch * output * group.kernel.pow(2) * self.input[2] + 3 * self.composing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shapes::shapes;

    fn folded(size: [usize; 2], settings: &str) -> Vec<String> {
        let text = format!("[data]\nsource = \"builtin:faces\"\nimage_size = [{}, {}]\n{settings}", size[0], size[1]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("experiment.toml");
        std::fs::write(&path, text).unwrap();
        let experiment = crate::config::load(&path, &[]).unwrap().experiment;
        let shapes = shapes(experiment.model(), experiment.data().image_size()).unwrap();
        describe(&groups(&experiment, &shapes.layers))
    }

    const FIRST: &str = "conv1_1 to conv1_2 as one 7x7 convolution with stride 4";
    const SECOND: &str = "conv2_1 to conv2_2 as one 7x7 convolution with stride 4";

    #[test]
    fn the_published_network_folds_where_it_pays() {
        assert_eq!(folded([400, 500], ""), [FIRST, SECOND]);
        // Three by three places do not pay for a kernel of 7x7x64x128.
        assert_eq!(folded([150, 150], ""), [FIRST]);
    }

    #[test]
    fn what_is_not_linear_is_not_folded() {
        for settings in ["[model]\nactivation = \"relu\"", "[model]\nbatch_norm = true", "[model]\npadding = \"same\""]
        {
            assert!(folded([400, 500], settings).is_empty(), "{settings}");
        }
        assert!(folded([400, 500], "[train]\nfold = false").is_empty());
    }

    #[test]
    fn three_in_a_row_become_one() {
        let folded = folded([400, 500], "[model]\nconv = [[8, 8, 8]]");
        assert_eq!(folded, ["conv1_1 to conv1_3 as one 15x15 convolution with stride 8"]);
    }
}
