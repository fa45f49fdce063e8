//! `store`: looking after the store.

use super::exit::{Failure, STORE};
use super::{Global, print, print_json};
use crate::report::tell;
use crate::schedule::Results;
use crate::schedule::reconcile::{Rebuilt, ReconcileError, rebuild};
use crate::store::{Store, StoreError};

/// What to do with the store.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make the store anew from the folders of the runs.
    #[command(after_help = super::examples::REBUILD)]
    Rebuild,
}

/// Makes the store anew. What it alone knows, because the folder of a run is gone or damaged, stays in a copy.
fn made_anew(results: &Results) -> Result<Rebuilt, ReconcileError> {
    let mut store = Store::open(results.store())?;
    let before = store.results()?;
    let copy = if before.is_empty() { None } else { Some(store.copy_aside(results.store())?) };
    let rebuilt = rebuild(results, &mut store).inspect_err(|_| {
        copy.iter().for_each(|copy| tell(format_args!("The store as it was is kept as {}.", copy.display())));
    })?;
    let lost = before.difference(&store.results()?).count();
    match copy {
        Some(copy) if lost > 0 => tell(format_args!(
            "warning: the folders of {lost} finished runs of the old store are gone or damaged. It is kept as {}.",
            copy.display()
        )),
        // It says nothing that the new one does not.
        Some(copy) => std::fs::remove_file(copy)?,
        None => {}
    }
    Ok(rebuilt)
}

/// Does it.
pub fn run(command: &Command, global: &Global) -> Result<(), Failure> {
    let Command::Rebuild = command;
    let results = global.results();
    let rebuilt = match made_anew(&results) {
        Err(ReconcileError::Store(StoreError::Damaged(_))) => {
            let aside = Store::set_aside(results.store()).map_err(|error| Failure::new(STORE, error))?;
            tell(format_args!("The damaged store is kept as {}.", aside.display()));
            made_anew(&results)
        }
        other => other,
    }?;
    for (id, reason) in &rebuilt.skipped {
        tell(format_args!("warning: {} is left out: {reason}", results.run(id).path().display()));
    }
    if global.json {
        return print_json(&serde_json::json!({ "runs": rebuilt.runs, "skipped": rebuilt.skipped }));
    }
    print(&format!("{} runs taken from {} into {}\n", rebuilt.runs, results.runs().display(), global.db.display()))
}
