//! Where a search tries next: points at random, or where earlier ones did well. Pure functions of seed, number and results.

use crate::config::{Dimension, Point};
use crate::random::{Purpose, Stream};

/// Points that tpe draws at random before it believes its results.
const STARTUP: usize = 10;

/// A tried point, one coordinate for each dimension, and its loss: lower is better, infinite where it failed.
pub type Tried = (Vec<f64>, f64);

/// Coordinates of point number `trial` of a random search.
pub fn random(dimensions: &[Dimension], seed: u64, trial: usize) -> Vec<f64> {
    let draw = |(index, dimension): (usize, &Dimension)| {
        let (low, high) = dimension.bounds();
        stream(seed, trial, index).range(low, high)
    };
    dimensions.iter().enumerate().map(draw).collect()
}

/// Coordinates of point number `trial` by the tree-structured Parzen estimator (Bergstra et al., "Algorithms for
/// hyper-parameter optimization", 2011), each dimension by itself; at random while few results are known.
pub fn tpe(dimensions: &[Dimension], seed: u64, trial: usize, tried: &[Tried]) -> Vec<f64> {
    let fallback = random(dimensions, seed, trial);
    if tried.len() < STARTUP {
        return fallback;
    }
    let propose = |(index, dimension): (usize, &Dimension)| {
        let results = tried.iter().filter_map(|(coordinates, loss)| Some((*coordinates.get(index)?, *loss)));
        propose(dimension, results, stream(seed, trial, index)).unwrap_or(fallback[index])
    };
    dimensions.iter().enumerate().map(propose).collect()
}

fn propose(dimension: &Dimension, results: impl Iterator<Item = (f64, f64)>, mut stream: Stream) -> Option<f64> {
    let (low, high) = dimension.bounds();
    let estimator = match dimension {
        Dimension::Choice { .. } => tpe::histogram_estimator(),
        Dimension::Range { .. } => tpe::parzen_estimator(),
    };
    let mut optimizer = tpe::TpeOptimizer::new(estimator, tpe::range(low, high).ok()?);
    for (coordinate, loss) in results {
        optimizer.tell(coordinate, loss).ok()?;
    }
    optimizer.ask(stream.generator()).ok()
}

/// Keys and values at coordinates.
pub fn point(dimensions: &[Dimension], coordinates: &[f64]) -> Point {
    dimensions.iter().zip(coordinates).flat_map(|(dimension, &coordinate)| dimension.at(coordinate)).collect()
}

fn stream(seed: u64, trial: usize, dimension: usize) -> Stream {
    Stream::new(seed, Purpose::Search, trial as u64, dimension as u64)
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;
    use crate::config::Scale;

    fn space() -> Vec<Dimension> {
        vec![
            Dimension::Range { key: "a".to_owned(), scale: Scale::LogUniform, low: 1e-4, high: 1e-1 },
            Dimension::Range { key: "b".to_owned(), scale: Scale::Integer, low: 2.0, high: 5.0 },
            Dimension::Choice {
                keys: vec!["c".to_owned(), "d".to_owned()],
                values: vec![vec![Value::Integer(1), Value::Integer(2)], vec![Value::Integer(10), Value::Integer(20)]],
            },
        ]
    }

    /// Best at a = 1e-2, b = 3, c = 2.
    fn loss(point: &Point) -> f64 {
        let number = |key: &str| {
            let value = &point.iter().find(|(name, _)| name == key).unwrap().1;
            value.as_float().unwrap_or_else(|| value.as_integer().unwrap() as f64)
        };
        (number("a").log10() + 2.0).abs() + (number("b") - 3.0).abs() + (2.0 - number("c"))
    }

    fn best_of(trials: usize, next: impl Fn(usize, &[Tried]) -> Vec<f64>) -> f64 {
        let mut tried: Vec<Tried> = Vec::new();
        for trial in 0..trials {
            let coordinates = next(trial, &tried);
            let loss = loss(&point(&space(), &coordinates));
            tried.push((coordinates, loss));
        }
        tried.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn random_points_stay_in_their_ranges_and_zipped_keys_move_together() {
        let mut seen = [false; 4];
        for trial in 0..200 {
            let values = point(&space(), &random(&space(), 21, trial));
            let a = values[0].1.as_float().unwrap();
            let b = values[1].1.as_integer().unwrap();
            assert!((1e-4..=1e-1).contains(&a) && (2..=5).contains(&b));
            assert_eq!(values[3].1.as_integer().unwrap(), 10 * values[2].1.as_integer().unwrap());
            seen[(b - 2) as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(random(&space(), 21, 7), random(&space(), 21, 7));
        assert_ne!(random(&space(), 21, 7), random(&space(), 22, 7));
    }

    #[test]
    fn tpe_finds_better_points_than_chance_does_in_the_same_number_of_trials() {
        let better = (0..20).filter(|&seed| {
            let guided = best_of(40, |trial, tried| tpe(&space(), seed, trial, tried));
            let blind = best_of(40, |trial, _| random(&space(), seed, trial));
            guided <= blind
        });
        let better = better.count();
        assert!(better >= 15, "tpe was better for {better} of 20 seeds");
    }

    #[test]
    fn a_failed_point_is_a_bad_one() {
        let tried: Vec<Tried> = (0..12).map(|trial| (random(&space(), 3, trial), f64::INFINITY)).collect();
        assert_eq!(tpe(&space(), 3, 12, &tried).len(), 3);
    }
}
