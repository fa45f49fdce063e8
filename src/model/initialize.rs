//! First weights, as Keras draws them, from streams that depend on the seed and the parameter alone.

use crate::config::Initializer;
use crate::random::{Purpose, Stream};

/// Standard deviation of a standard normal cut at two standard deviations; Keras divides by it so that the truncated
/// normal keeps the variance that was asked for (`keras.initializers.VarianceScaling`).
const TRUNCATED_NORMAL_STD: f64 = 0.879_625_661_034_239_8;

/// Number of inputs and outputs of one unit, as the initialisers mean them.
#[derive(Debug, Clone, Copy)]
pub struct Fan {
    /// Inputs: kernel area times input channels, or input units.
    pub input: usize,
    /// Outputs: kernel area times filters, or output units.
    pub output: usize,
}

/// `count` values for the network's parameter number `parameter`.
///
/// Glorot and Bengio (2010): variance 2 / (inputs + outputs). He et al. (2015): variance 2 / inputs. The uniform form
/// draws from ±sqrt(3 variance), the normal form from a normal truncated at two standard deviations.
pub fn draw(initializer: Initializer, fan: Fan, count: usize, seed: u64, parameter: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Weights, 0, parameter);
    let variance = match initializer {
        Initializer::GlorotUniform | Initializer::GlorotNormal => 2.0 / (fan.input + fan.output) as f64,
        Initializer::HeUniform | Initializer::HeNormal => 2.0 / fan.input as f64,
    };
    match initializer {
        Initializer::GlorotUniform | Initializer::HeUniform => {
            let limit = (3.0 * variance).sqrt();
            (0..count).map(|_| stream.range(-limit, limit) as f32).collect()
        }
        Initializer::GlorotNormal | Initializer::HeNormal => {
            let std = variance.sqrt() / TRUNCATED_NORMAL_STD;
            (0..count).map(|_| (std * truncated_normal(&mut stream)) as f32).collect()
        }
    }
}

fn truncated_normal(stream: &mut Stream) -> f64 {
    loop {
        let value = stream.normal();
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variance(values: &[f32]) -> f64 {
        values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn every_initializer_has_the_variance_of_its_paper() {
        let fan = Fan { input: 300, output: 100 };
        for (initializer, expected) in [
            (Initializer::GlorotUniform, 2.0 / 400.0),
            (Initializer::GlorotNormal, 2.0 / 400.0),
            (Initializer::HeUniform, 2.0 / 300.0),
            (Initializer::HeNormal, 2.0 / 300.0),
        ] {
            let values = draw(initializer, fan, 100_000, 1, 0);
            assert!((variance(&values) / expected - 1.0).abs() < 0.02, "{initializer:?}");
        }
    }

    #[test]
    fn parameters_do_not_share_numbers() {
        let fan = Fan { input: 10, output: 10 };
        assert_ne!(draw(Initializer::GlorotUniform, fan, 8, 21, 0), draw(Initializer::GlorotUniform, fan, 8, 21, 1));
    }
}
