//! `store`: looking after the store.

use super::exit::Failure;
use super::{Global, print, print_json};
use crate::schedule::reconcile::rebuild;
use crate::store::Store;

/// What to do with the store.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make the store anew from the folders of the runs.
    #[command(after_help = super::examples::REBUILD)]
    Rebuild,
}

/// Does it.
pub fn run(command: &Command, global: &Global) -> Result<(), Failure> {
    let Command::Rebuild = command;
    let results = global.results();
    let mut store = Store::open(results.store())?;
    let rebuilt = rebuild(&results, &mut store)?;
    for (id, reason) in &rebuilt.skipped {
        eprintln!("warning: {} is left out: {reason}", results.run(id).path().display());
    }
    if global.json {
        return print_json(&serde_json::json!({ "runs": rebuilt.runs, "skipped": rebuilt.skipped }));
    }
    print(&format!("{} runs taken from {} into {}\n", rebuilt.runs, results.runs().display(), global.db.display()))
}
