//! What stands before the network: decoding, the cache, augmentation, a batch.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use emo_runner::config::{Experiment, ImageSize, Interpolation, load};
use emo_runner::data::augment::{Parameters, warp};
use emo_runner::data::batches::{Augmentation, Batches};
use emo_runner::data::cache::Dataset;
use emo_runner::data::decode::decode;
use emo_runner::data::source::OpenSource;
use emo_runner::random::{Purpose, Stream};

const SIZE: ImageSize = ImageSize { height: 400, width: 500 };

/// The published augmentation on the built-in emoji.
fn experiment() -> Experiment {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/baseline.toml");
    load(path.as_ref(), &[]).expect("the experiment is right").experiment
}

fn open(experiment: &Experiment) -> OpenSource {
    OpenSource::open(experiment.data().source(), experiment.data().classes()).expect("the emoji are built in")
}

fn dataset(experiment: &Experiment, source: &OpenSource, folder: &std::path::Path) -> Dataset {
    let data = experiment.data();
    Dataset::load(source, data.image_size(), data.interpolation(), false, folder, &|_, _| {}).expect("decodes")
}

fn bench_decode(criterion: &mut Criterion) {
    let experiment = experiment();
    let source = open(&experiment);
    let bytes = source.read(0).expect("the emoji are built in");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one emoji to 400x500", |b| {
        b.iter(|| black_box(decode(&bytes, SIZE, Interpolation::Bilinear)));
    });
    group.finish();
}

fn bench_cache(criterion: &mut Criterion) {
    let experiment = experiment();
    let source = open(&experiment);
    let full = tempfile::tempdir().expect("the temporary folder can be written");
    let mut group = criterion.benchmark_group("cache");
    group.throughput(Throughput::Elements(source.items().len() as u64));
    group.bench_function("756 emoji decoded", |b| {
        b.iter_batched(
            || tempfile::tempdir().expect("the temporary folder can be written"),
            |folder| {
                black_box(dataset(&experiment, &source, folder.path()));
                folder
            },
            BatchSize::PerIteration,
        );
    });
    dataset(&experiment, &source, full.path());
    group.bench_function("756 emoji from the cache", |b| {
        b.iter(|| black_box(dataset(&experiment, &source, full.path())));
    });
    group.finish();
}

fn bench_augment(criterion: &mut Criterion) {
    let experiment = experiment();
    let ranges = experiment.augment();
    let image: Vec<u8> = (0..400 * 500 * 3).map(|i| (i * 31 % 256) as u8).collect();
    let mut out = vec![0.0; image.len()];
    let mut stream = Stream::new(21, Purpose::Augment, 0, 0);
    let mut group = criterion.benchmark_group("augment");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one 400x500 on one core", |b| {
        b.iter(|| {
            let parameters = Parameters::draw(ranges, SIZE, &mut stream);
            warp(&image, SIZE, &parameters, ranges.fill(), &mut out);
            black_box(&out);
        });
    });
    group.finish();
}

fn bench_batches(criterion: &mut Criterion) {
    let experiment = experiment();
    let source = open(&experiment);
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let dataset = dataset(&experiment, &source, folder.path());
    let order: Vec<usize> = (0..256).collect();
    let batches = Batches {
        dataset: &dataset,
        order: &order,
        batch_size: 32,
        augmentation: Some(Augmentation { ranges: experiment.augment(), seed: 21, epoch: 0 }),
        threads: 2,
    };
    let mut group = criterion.benchmark_group("batches");
    group.throughput(Throughput::Elements(order.len() as u64));
    group.bench_function("augmented 400x500, 2 threads", |b| {
        b.iter(|| {
            let flow = batches.for_each(0, |batch| {
                black_box(&batch.pixels);
                std::ops::ControlFlow::<(), _>::Continue(Some(batch.pixels))
            });
            assert!(flow.is_continue());
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = bench_decode, bench_cache, bench_augment, bench_batches
}
criterion_main!(benches);
