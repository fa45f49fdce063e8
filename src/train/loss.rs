//! Binary cross-entropy on logits.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData, activation};

/// Losses of single images: `x (1 - y) - ln(sigmoid(x))`, which cannot overflow and is smooth at 0.
///
/// `logits` and `labels` (0 or 1) are `[batch]`, and so is the result. The gradient for a logit is `sigmoid(x) - y`.
pub fn binary_cross_entropy<B: Backend>(logits: Tensor<B, 1>, labels: Tensor<B, 1>) -> Tensor<B, 1> {
    logits.clone() * (labels.neg() + 1.0) - activation::log_sigmoid(logits)
}

/// A batch's labels as a tensor `[batch]` of 0 and 1.
pub fn labels_tensor<B: Backend>(labels: &[bool], device: &B::Device) -> Tensor<B, 1> {
    let values: Vec<f32> = labels.iter().map(|&label| f32::from(u8::from(label))).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// The same loss of one image in double precision.
pub fn binary_cross_entropy_f64(logit: f64, label: bool) -> f64 {
    logit.max(0.0) - if label { logit } else { 0.0 } + (-logit.abs()).exp().ln_1p()
}

/// Probability of class 1 for a logit.
pub fn probability(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let e = logit.exp();
        e / (1.0 + e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn loss_and_gradient_equal_the_textbook_form() {
        let device = Default::default();
        let logits = [-30.0f32, -2.0, 0.5, 40.0];
        let labels = [false, true, true, false];
        let x: Tensor<Autodiff<Flex>, 1> =
            Tensor::from_data(TensorData::new(logits.to_vec(), [4]), &device).require_grad();
        let losses = binary_cross_entropy(x.clone(), labels_tensor(&labels, &device));
        let values: Vec<f32> = losses.clone().into_data().into_vec().unwrap();
        let gradients: Vec<f32> = x.grad(&losses.sum().backward()).unwrap().into_data().into_vec().unwrap();
        for i in 0..4 {
            let logit = f64::from(logits[i]);
            let p = probability(logit);
            let textbook = if labels[i] { -p.ln() } else { -(-p).ln_1p() };
            let textbook = if textbook.is_finite() { textbook } else { logit };
            assert!((f64::from(values[i]) - textbook).abs() < 1e-5 * textbook.max(1.0));
            assert!((binary_cross_entropy_f64(logit, labels[i]) - textbook).abs() < 1e-12 * textbook.max(1.0));
            let expected = p - f64::from(u8::from(labels[i]));
            assert!((f64::from(gradients[i]) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn the_gradient_at_a_logit_of_exactly_zero_is_one_half() {
        let device = Default::default();
        let x: Tensor<Autodiff<Flex>, 1> =
            Tensor::from_data(TensorData::new(vec![0.0f32], [1]), &device).require_grad();
        let loss = binary_cross_entropy(x.clone(), labels_tensor(&[false], &device)).sum();
        let gradient: Vec<f32> = x.grad(&loss.backward()).unwrap().into_data().into_vec().unwrap();
        assert_eq!(gradient, [0.5]);
    }
}
