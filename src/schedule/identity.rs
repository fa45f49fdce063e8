//! What makes two runs the same.

use crate::config::Experiment;
use crate::train::NUMERICS_VERSION;

/// Hash of what decides a run's result: the configuration without name, description, tags and place of the data; the
/// data's fingerprint; the version of our numerics. 64 hexadecimal digits.
pub fn run_key(experiment: &Experiment, fingerprint: &str) -> String {
    hash("emo-runner 2026 run key", &experiment.canonical_json(), fingerprint)
}

/// The same without seed and fold: runs with one point key are repeats of each other, wherever they come from.
pub fn point_key(experiment: &Experiment, fingerprint: &str) -> String {
    hash("emo-runner 2026 point key", &experiment.point_json(), fingerprint)
}

fn hash(context: &str, configuration: &str, fingerprint: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in [configuration, fingerprint, &NUMERICS_VERSION.to_string()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
