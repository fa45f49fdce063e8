//! Our convolution gives what the definition of a convolution gives, in every instruction set of this machine.

use emo_runner::model::kernels::{Geometry, InstructionSet, Upstream, forward, input_gradient, weight_gradient};
use emo_runner::random::{Purpose, Stream};

/// A convolution as its definition says, in f64: output, where each pooled value came from, and the gradients for an
/// output gradient.
struct Reference {
    output: Vec<f64>,
    input_gradient: Vec<f64>,
    weight_gradient: Vec<f64>,
    bias_gradient: Vec<f64>,
}

fn reference(g: Geometry, input: &[f32], weights: &[f32], bias: &[f32], gradient: &[f32]) -> Reference {
    let [rows, columns] = g.output();
    let mut result = Reference {
        output: Vec::new(),
        input_gradient: vec![0.0; input.len()],
        weight_gradient: vec![0.0; weights.len()],
        bias_gradient: vec![0.0; bias.len()],
    };
    let products = |image: usize, y: usize, x: usize, n: usize| {
        (0..g.kernel * g.kernel * g.channels).map(move |k| {
            let (c, kx, ky) = (k % g.channels, k / g.channels % g.kernel, k / g.channels / g.kernel);
            let pixel = (image * g.height + y * g.stride + ky) * g.width + x * g.stride + kx;
            (pixel * g.channels + c, k * g.filters + n)
        })
    };
    for (index, &upstream) in gradient.iter().enumerate() {
        let (n, place) = (index % g.filters, index / g.filters);
        let (column, row, image) = (place % columns, place / columns % rows, place / columns / rows);
        let (mut best, mut at) = (f64::NEG_INFINITY, (0, 0));
        for window in 0..g.pool * g.pool {
            let (y, x) = (row * g.pool + window / g.pool, column * g.pool + window % g.pool);
            let sum: f64 = products(image, y, x, n).map(|(i, w)| f64::from(input[i]) * f64::from(weights[w])).sum();
            let value = f64::from(bias[n]) + sum;
            if value > best {
                (best, at) = (value, (y, x));
            }
        }
        let passes = !g.relu || best > 0.0;
        result.output.push(if passes { best } else { 0.0 });
        if passes {
            let upstream = f64::from(upstream);
            result.bias_gradient[n] += upstream;
            for (i, w) in products(image, at.0, at.1, n) {
                result.input_gradient[i] += upstream * f64::from(weights[w]);
                result.weight_gradient[w] += upstream * f64::from(input[i]);
            }
        }
    }
    result
}

fn random(stream: &mut Stream, length: usize) -> Vec<f32> {
    (0..length).map(|_| stream.range(-1.0, 1.0) as f32).collect()
}

/// Sums of n products of values below 1 are good to about n roundings.
fn assert_close(what: &str, g: Geometry, set: InstructionSet, ours: &[f32], reference: &[f64], products: usize) {
    assert_eq!(ours.len(), reference.len(), "{what}");
    let tolerance = 4.0 * f64::from(f32::EPSILON) * (products as f64 + 4.0);
    for (index, (&ours, &reference)) in ours.iter().zip(reference).enumerate() {
        let error = (f64::from(ours) - reference).abs();
        assert!(error <= tolerance, "{what}[{index}] is {ours}, not {reference}: {g:?} on {set:?}");
    }
}

fn check(g: Geometry, seed: u64) {
    let mut stream = Stream::new(seed, Purpose::Weights, 0, 0);
    let input = random(&mut stream, g.input_len());
    let weights = random(&mut stream, g.weights_len());
    let bias = random(&mut stream, g.filters);
    let gradient = random(&mut stream, g.output_len());
    let expected = reference(g, &input, &weights, &bias, &gradient);
    for set in InstructionSet::available() {
        let ours = forward(g, set, &input, &weights, &bias);
        let depth = g.kernel * g.kernel * g.channels;
        assert_close("output", g, set, &ours.values, &expected.output, depth);
        let upstream = Upstream { gradient: &gradient, output: &ours.values, places: &ours.places };
        let input_gradient = input_gradient(g, set, upstream, &weights);
        let sum = g.kernel * g.kernel * g.filters;
        assert_close("input gradient", g, set, &input_gradient, &expected.input_gradient, sum);
        let (weight_gradient, bias_gradient) = weight_gradient(g, set, upstream, &input);
        let places = g.output_len() / g.filters.max(1);
        assert_close("weight gradient", g, set, &weight_gradient, &expected.weight_gradient, places);
        assert_close("bias gradient", g, set, &bias_gradient, &expected.bias_gradient, places);
    }
}

const BASE: Geometry =
    Geometry { batch: 2, height: 13, width: 17, channels: 3, kernel: 3, stride: 2, filters: 8, relu: false, pool: 1 };

#[test]
fn the_layers_of_the_published_network_agree() {
    check(Geometry { height: 31, width: 35, filters: 64, ..BASE }, 1);
    check(Geometry { height: 31, width: 35, kernel: 7, stride: 4, filters: 64, pool: 2, ..BASE }, 2);
    check(Geometry { height: 15, width: 15, channels: 64, filters: 128, relu: true, ..BASE }, 3);
    check(Geometry { height: 11, width: 13, channels: 128, filters: 128, relu: true, pool: 2, ..BASE }, 4);
}

#[test]
fn random_shapes_agree() {
    let mut stream = Stream::new(7, Purpose::Weights, 1, 0);
    for seed in 0..60 {
        let mut up_to = |from: u64, to: u64| (from + stream.below(to - from + 1)) as usize;
        let kernel = up_to(1, 6);
        let g = Geometry {
            batch: up_to(1, 4),
            height: kernel + up_to(0, 14),
            width: kernel + up_to(0, 30),
            channels: up_to(1, 9),
            kernel,
            stride: up_to(1, 4),
            filters: up_to(1, 70),
            relu: up_to(0, 1) == 1,
            pool: up_to(1, 3),
        };
        check(g, seed);
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let g = Geometry { batch: 9, height: 21, width: 23, channels: 16, filters: 40, relu: true, pool: 2, ..BASE };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut stream = Stream::new(1, Purpose::Weights, 2, 0);
            let (input, weights) = (random(&mut stream, g.input_len()), random(&mut stream, g.weights_len()));
            let (bias, gradient) = (random(&mut stream, g.filters), random(&mut stream, g.output_len()));
            let set = InstructionSet::detect();
            let out = forward(g, set, &input, &weights, &bias);
            let upstream = Upstream { gradient: &gradient, output: &out.values, places: &out.places };
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let (by_weight, by_bias) = weight_gradient(g, set, upstream, &input);
            [bits(out.values.clone()), bits(input_gradient(g, set, upstream, &weights)), bits(by_weight), bits(by_bias)]
        })
    };
    assert!(run(1) == run(3));
}

#[test]
fn a_value_that_is_not_a_number_reaches_the_output() {
    for (filters, pool) in [(8, 1), (8, 2), (64, 1), (64, 2)] {
        a_nan_reaches_the_output_of(Geometry { relu: true, filters, pool, ..BASE });
    }
}

fn a_nan_reaches_the_output_of(g: Geometry) {
    let mut stream = Stream::new(1, Purpose::Weights, 3, 0);
    let mut input = random(&mut stream, g.input_len());
    let (weights, bias) = (random(&mut stream, g.weights_len()), random(&mut stream, g.filters));
    input[40] = f32::NAN;
    for set in InstructionSet::available() {
        assert!(forward(g, set, &input, &weights, &bias).values.iter().any(|value| value.is_nan()), "{set:?}");
    }
}
