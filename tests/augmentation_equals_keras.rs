//! Promise: augmentation means what Keras's ImageDataGenerator means by it.
//!
//! The expected arrays are Keras's own, see `reference/augment.py`.

use emo_runner::config::{Fill, ImageSize};
use emo_runner::data::augment::{Parameters, warp};
use emo_runner::random::{Purpose, Stream};
use serde_json::Value;

const GREY_LEVEL: f64 = 1.0 / 255.0;
const FILLS: [Fill; 4] = [Fill::Nearest, Fill::Constant, Fill::Reflect, Fill::Wrap];

struct Case {
    name: String,
    parameters: Parameters,
    fill: Fill,
    expected: Vec<f64>,
}

/// The test image and Keras's warps of it.
struct Reference {
    size: ImageSize,
    image: Vec<u8>,
    cases: Vec<Case>,
}

fn reference() -> Reference {
    let json: Value = serde_json::from_str(include_str!("reference/augment.json")).unwrap();
    let length = |key: &str| json[key].as_u64().unwrap() as usize;
    Reference {
        size: ImageSize { height: length("height"), width: length("width") },
        image: json["image"].as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as u8).collect(),
        cases: json["cases"].as_array().unwrap().iter().map(case).collect(),
    }
}

fn case(json: &Value) -> Case {
    let keras = &json["parameters"];
    let number = |key: &str, default: f64| keras[key].as_f64().unwrap_or(default);
    Case {
        name: json["name"].as_str().unwrap().to_owned(),
        parameters: Parameters {
            rotation: number("theta", 0.0),
            shift_rows: number("ty", 0.0),
            shift_columns: number("tx", 0.0),
            shear: number("shear", 0.0),
            zoom_rows: number("zy", 1.0),
            zoom_columns: number("zx", 1.0),
            flip: keras["flip_horizontal"].as_bool().unwrap_or(false),
        },
        fill: match json["fill"].as_str().unwrap() {
            "nearest" => Fill::Nearest,
            "constant" => Fill::Constant,
            "reflect" => Fill::Reflect,
            "wrap" => Fill::Wrap,
            other => panic!("unknown fill {other}"),
        },
        expected: json["expected"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect(),
    }
}

/// Far-reaching variations, the same every time.
fn random_parameters(size: ImageSize, count: u64) -> impl Iterator<Item = Parameters> {
    let ranges = "rotation = 180.0\nwidth_shift = 0.9\nheight_shift = 0.9\nzoom = 0.9\nhorizontal_flip = true";
    let ranges = toml::from_str(ranges).unwrap();
    (0..count).map(move |image| Parameters::draw(&ranges, size, &mut Stream::new(21, Purpose::Augment, 0, image)))
}

#[test]
fn every_warp_equals_keras_within_one_grey_level() {
    let Reference { size, image, cases } = reference();
    for Case { name, parameters, fill, expected } in cases {
        assert_eq!(expected.len(), image.len(), "{name}");
        let mut ours = vec![f32::NAN; image.len()];
        warp(&image, size, &parameters, fill, &mut ours);
        // The last bit of a coordinate decides whether a place on the image's very edge is inside. Constant jumps there
        // between the picture and 0. Nearest and reflect are continuous, and wrap has no coordinate so close in these cases.
        let at_edge = |keras: f64, ours: f32| fill == Fill::Constant && (keras == 0.0) != (ours == 0.0);
        let differences = expected.iter().zip(&ours).map(|(&keras, &ours)| {
            let difference = (keras - f64::from(ours)).abs();
            (difference, difference > GREY_LEVEL && at_edge(keras, ours))
        });
        let (border, differences): (Vec<_>, Vec<_>) = differences.partition(|&(_, at_edge)| at_edge);
        assert!(border.len() * 100 <= image.len() * 3, "{name}: {} of {} values differ", border.len(), image.len());
        let mut differences: Vec<f64> = differences.into_iter().map(|(difference, _)| difference).collect();
        differences.sort_by(f64::total_cmp);
        let (median, largest) = (differences[differences.len() / 2], differences[differences.len() - 1]);
        println!("{name}: median {median:.1e}, largest {largest:.1e}, {} of {} at the edge", border.len(), image.len());
        assert!(largest <= GREY_LEVEL, "{name}: a value differs by {largest}, more than one grey level");
        assert!(largest < 1e-4, "{name}: a value differs by {largest}, more than rounding explains");
        assert!(median < 1e-5, "{name}: the values differ by {median}, typically");
    }
}

#[test]
fn the_reference_varies_every_parameter_in_every_fill() {
    let Reference { size, cases, .. } = reference();
    assert_ne!(size.height, size.width);
    for fill in FILLS {
        assert!(cases.iter().any(|case| {
            let Parameters { rotation, shift_rows, shift_columns, shear, zoom_rows, zoom_columns, .. } =
                case.parameters;
            case.fill == fill
                && [rotation, shift_rows, shift_columns, shear].iter().all(|&value| value != 0.0)
                && [zoom_rows, zoom_columns].iter().all(|&value| value != 1.0)
        }));
    }
}

#[test]
fn a_sample_that_hits_a_pixel_has_the_bits_of_the_rescale() {
    let Reference { size, image, .. } = reference();
    let mut rescaled = vec![0.0; image.len()];
    warp(&image, size, &Parameters::IDENTITY, Fill::Nearest, &mut rescaled);
    for (&value, rescaled) in image.iter().zip(&rescaled) {
        assert!((f64::from(value) / 255.0 - f64::from(*rescaled)).abs() < 1e-7);
    }
    let mut shifted = rescaled.clone();
    let parameters = Parameters { shift_rows: 2.0, shift_columns: 3.0, ..Parameters::IDENTITY };
    warp(&image, size, &parameters, Fill::Nearest, &mut shifted);
    let at = |row: usize, column: usize| (row * size.width + column) * 3;
    for row in 0..size.height - 2 {
        let moved = &shifted[at(row, 0)..at(row, size.width - 3)];
        assert_eq!(moved, &rescaled[at(row + 2, 3)..at(row + 3, 0)]);
    }
}

#[test]
fn a_flip_mirrors_the_warp_to_the_bit() {
    let Reference { size, image, .. } = reference();
    let (mut plain, mut flipped) = (vec![0.0; image.len()], vec![0.0; image.len()]);
    for (parameters, fill) in random_parameters(size, 20).flat_map(|parameters| FILLS.map(|fill| (parameters, fill))) {
        warp(&image, size, &Parameters { flip: false, ..parameters }, fill, &mut plain);
        warp(&image, size, &Parameters { flip: true, ..parameters }, fill, &mut flipped);
        for (plain, flipped) in plain.chunks(size.width * 3).zip(flipped.chunks(size.width * 3)) {
            assert!(plain.chunks(3).eq(flipped.chunks(3).rev()), "{fill:?} {parameters:?}");
        }
    }
}

/// A picture of one grey stays it, however small it is, in every fill that takes from the picture.
#[test]
fn grey_stays_grey_at_any_size() {
    for (height, width) in [(0, 0), (0, 3), (3, 0), (1, 1), (1, 40), (40, 1), (2, 2), (3, 33), (33, 64)] {
        let size = ImageSize { height, width };
        let image = vec![200; height * width * 3];
        for parameters in random_parameters(size, 50) {
            for fill in [Fill::Nearest, Fill::Reflect, Fill::Wrap] {
                let mut ours = vec![f32::NAN; image.len()];
                warp(&image, size, &parameters, fill, &mut ours);
                let grey = ours.iter().all(|value| (value - 200.0 / 255.0).abs() < 1e-6);
                assert!(grey, "{size} {fill:?} {parameters:?}");
            }
        }
    }
}
