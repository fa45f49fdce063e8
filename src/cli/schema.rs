//! `schema`: the JSON Schema of experiment files.

use super::exit::Failure;
use super::print_json;

/// Prints the schema.
pub fn run() -> Result<(), Failure> {
    print_json(&crate::config::schema())
}
