//! Promise: augmentation means what Keras's ImageDataGenerator means by it.
//!
//! The expected arrays are Keras's own, see `reference/augment.py`.

use emo_runner::config::{Fill, ImageSize};
use emo_runner::data::augment::{Parameters, warp};
use serde_json::Value;

fn number(parameters: &Value, key: &str, default: f64) -> f64 {
    parameters[key].as_f64().unwrap_or(default)
}

#[test]
fn every_warp_equals_keras_within_one_grey_level() {
    let reference: Value = serde_json::from_str(include_str!("reference/augment.json")).unwrap();
    let size = ImageSize {
        height: reference["height"].as_u64().unwrap() as usize,
        width: reference["width"].as_u64().unwrap() as usize,
    };
    let image: Vec<u8> =
        reference["image"].as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as u8).collect();
    for case in reference["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let keras = &case["parameters"];
        let parameters = Parameters {
            rotation: number(keras, "theta", 0.0),
            shift_x: number(keras, "tx", 0.0),
            shift_y: number(keras, "ty", 0.0),
            shear: number(keras, "shear", 0.0),
            zoom_x: number(keras, "zx", 1.0),
            zoom_y: number(keras, "zy", 1.0),
            flip: keras["flip_horizontal"].as_bool().unwrap_or(false),
        };
        let fill = match case["fill"].as_str().unwrap() {
            "nearest" => Fill::Nearest,
            "constant" => Fill::Constant,
            "reflect" => Fill::Reflect,
            _ => Fill::Wrap,
        };
        let mut ours = vec![0.0; image.len()];
        warp(&image, size, &parameters, fill, &mut ours);
        let differences: Vec<f64> = case["expected"]
            .as_array()
            .unwrap()
            .iter()
            .zip(&ours)
            .map(|(keras, &ours)| (keras.as_f64().unwrap() - f64::from(ours)).abs())
            .collect();
        let far = differences.iter().filter(|&&difference| difference > 1.0 / 255.0).count();
        // A coordinate that rounding puts on the other side of the edge: constant and wrap jump there, nothing else.
        let allowed = if matches!(fill, Fill::Constant | Fill::Wrap) { differences.len() / 100 } else { 0 };
        assert!(far <= allowed, "{name}: {far} of {} values differ by more than 1/255", differences.len());
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        assert!(mean < 1e-3, "{name}: mean difference {mean}");
    }
}

#[test]
fn an_image_that_is_not_varied_is_only_rescaled() {
    let size = ImageSize { height: 2, width: 2 };
    let image: Vec<u8> = (0..12).map(|value| value * 20).collect();
    let mut ours = vec![0.0; 12];
    warp(&image, size, &Parameters::IDENTITY, Fill::Nearest, &mut ours);
    for (&value, ours) in image.iter().zip(ours) {
        assert!((f32::from(value) / 255.0 - ours).abs() <= f32::EPSILON);
    }
}
