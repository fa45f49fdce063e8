//! `man`: manual pages.

use std::path::PathBuf;

use clap::CommandFactory;

use super::exit::Failure;
use super::{Cli, print};

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a page for every command into a folder. Left out: the main page to stdout.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Writes the pages.
pub fn run(args: &Args) -> Result<(), Failure> {
    let command = Cli::command();
    let Some(folder) = &args.to else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::run)?;
        return print(&String::from_utf8_lossy(&page));
    };
    let unwritable = |error| Failure::run(format!("{} cannot be written: {error}.", folder.display()));
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    clap_mangen::generate_to(command, folder).map_err(unwritable)?;
    print(&format!("{}\n", folder.join("emo-runner.1").display()))
}
