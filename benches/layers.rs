//! The convolutions of the published network and of its ReLU variant, forward and backward, in operations a second.
//!
//! One multiply-add is two operations. Compare with `product`, the same measure for a plain f32 matrix product.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use emo_runner::model::kernels::{Geometry, InstructionSet, Upstream, forward, input_gradient, weight_gradient};

const BATCH: usize = 32;

fn layer(size: [usize; 2], channels: usize, filters: usize, pool: usize, relu: bool) -> Geometry {
    Geometry { batch: BATCH, height: size[0], width: size[1], channels, kernel: 3, stride: 2, filters, relu, pool }
}

/// The layers by name. `folded` ones are two linear 3x3/2 convolutions as one of 7x7/4.
fn layers() -> Vec<(&'static str, Geometry)> {
    let fold = |geometry: Geometry| Geometry { kernel: 7, stride: 4, ..geometry };
    vec![
        ("150 conv1_1 relu", layer([150, 150], 3, 64, 1, true)),
        ("150 conv1_2 relu", layer([74, 74], 64, 64, 2, true)),
        ("150 conv2_1 relu", layer([18, 18], 64, 128, 1, true)),
        ("150 conv2_2 relu", layer([8, 8], 128, 128, 2, true)),
        ("150 conv1 folded", fold(layer([150, 150], 3, 64, 2, false))),
        ("400x500 conv1_1 relu", layer([400, 500], 3, 64, 1, true)),
        ("400x500 conv1_2 relu", layer([199, 249], 64, 64, 2, true)),
        ("400x500 conv2_1 relu", layer([49, 62], 64, 128, 1, true)),
        ("400x500 conv2_2 relu", layer([24, 30], 128, 128, 2, true)),
        ("400x500 conv1 folded", fold(layer([400, 500], 3, 64, 2, false))),
        ("400x500 conv2 folded", fold(layer([49, 62], 64, 128, 2, false))),
    ]
}

fn values(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect()
}

fn bench_layers(criterion: &mut Criterion) {
    let set = InstructionSet::detect();
    for (name, g) in layers() {
        let (input, weights, bias) = (values(g.input_len()), values(g.weights_len()), values(g.filters));
        let out = forward(g, set, &input, &weights, &bias);
        let gradient = values(g.output_len());
        let upstream = Upstream { gradient: &gradient, output: &out.values, places: &out.places };
        let operations = 2 * g.output_len() * g.pool * g.pool * g.weights_len() / g.filters;
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function("forward", |b| b.iter(|| black_box(forward(g, set, &input, &weights, &bias))));
        group.bench_function("weight gradient", |b| b.iter(|| black_box(weight_gradient(g, set, upstream, &input))));
        // The first layer needs no gradient for the pixels.
        if g.channels > 3 {
            group
                .bench_function("input gradient", |b| b.iter(|| black_box(input_gradient(g, set, upstream, &weights))));
        }
        group.finish();
    }
}

/// A square matrix product by the `gemm` crate's neighbour in burn: the machine's own rate.
fn bench_product(criterion: &mut Criterion) {
    use burn::backend::Flex;
    use burn::tensor::{Distribution, Tensor};
    let mut group = criterion.benchmark_group("product");
    for n in [1024_usize, 2048] {
        group.throughput(Throughput::Elements(2 * (n * n * n) as u64));
        let matrix = Tensor::<Flex, 2>::random([n, n], Distribution::Default, &Default::default());
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| black_box(matrix.clone().matmul(matrix.clone())));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = bench_product, bench_layers
}
criterion_main!(benches);
