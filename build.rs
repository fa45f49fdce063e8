//! Makes the table of `builtin:emoji` out of `assets/emoji/emoji_sentiment.csv`.
//!
//! Every drawing is named as a constant of `twemoji_assets`, so that only these end up in the binary.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const TABLE: &str = "assets/emoji/emoji_sentiment.csv";

fn main() -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={TABLE}");
    let text = fs::read_to_string(Path::new(&root).join(TABLE))?;
    let mut rows = String::new();
    let mut count = 0;
    for (number, line) in text.lines().enumerate().skip(1) {
        rows.push_str(&row(line).map_err(|error| format!("{TABLE}:{}: {error}", number + 1))?);
        count += 1;
    }
    let table = format!("static TABLE: [Emoji; {count}] = [\n{rows}];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("emoji_table.rs"), table)?;
    Ok(())
}

/// One line of the table, `codepoint,emoji,name,negative,neutral,positive`, as a Rust value.
fn row(line: &str) -> Result<String, Box<dyn Error>> {
    let fields: Vec<&str> = line.split(',').collect();
    let [code, _, name, negative, neutral, positive] = fields[..] else {
        return Err(format!("expected 6 fields, found {}", fields.len()).into());
    };
    u32::from_str_radix(code, 16)?;
    let [negative, neutral, positive] = [negative.parse::<i64>()?, neutral.parse::<i64>()?, positive.parse::<i64>()?];
    // Score > 0.27 in whole numbers: score = (positive - negative) / (negative + neutral + positive + 3).
    let is_positive = 100 * (positive - negative) > 27 * (negative + neutral + positive + 3);
    let mut row = String::new();
    writeln!(
        row,
        "    Emoji {{ code: {code:?}, name: {:?}, positive: {is_positive}, png: codes::U_{}.data.0 }},",
        name.to_lowercase(),
        code.to_uppercase()
    )?;
    Ok(row)
}
