//! The command line: arguments in, a library call, printing out.

mod audit;
mod check;
mod cluster;
mod compare;
mod data;
mod doctor;
mod examples;
pub mod exit;
mod export;
mod man;
mod open;
mod plan;
mod plot;
mod predict;
mod replay;
mod report;
mod run;
mod schema;
mod show;
mod slots;
mod store;
mod sweep;
mod ui;
mod worker;

use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{CommandFactory, Parser, Subcommand};

use exit::Failure;

use crate::config::{Settings, SlurmSettings};
use crate::report::harmless;
use crate::schedule::Results;

/// Config-driven experiments with small image classifiers, and an honest word about what came out.
#[derive(Debug, Parser)]
#[command(name = "emo-runner", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
struct Options {
    /// The store. Default: `db` of the nearest emo-runner.toml, else results/emo.db.
    #[arg(long, global = true, env = "EMO_DB", value_name = "FILE", value_parser = any_path())]
    db: Option<PathBuf>,
    /// Folder of the runs and of the cache of decoded images. Default: `shared` of the nearest emo-runner.toml, else the
    /// store's folder.
    #[arg(long, global = true, env = "EMO_SHARED", value_name = "FOLDER", value_parser = any_path())]
    shared: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    quiet: bool,
}

/// A path that may be empty: an empty variable of the environment counts as none.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The same, with what emo-runner.toml says.
#[derive(Debug)]
struct Global {
    db: PathBuf,
    shared: Option<PathBuf>,
    slurm: SlurmSettings,
    json: bool,
    quiet: bool,
}

impl Global {
    fn new(options: Options, settings: Settings) -> Self {
        let Options { db, shared, json, quiet } = options;
        let [db, shared] = [db, shared].map(|path| path.filter(|path| !path.as_os_str().is_empty()));
        let db = db.or(settings.db).unwrap_or_else(|| PathBuf::from("results/emo.db"));
        Self { db, shared: shared.or(settings.shared), slurm: settings.slurm, json, quiet }
    }

    /// Where results are kept.
    fn results(&self) -> Results {
        Results::of_store(&self.db).with_folder(self.shared.as_deref())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one experiment, or go on with it.
    #[command(after_help = examples::RUN)]
    Run(run::Args),
    /// Run every experiment of files and folders, in parallel, or go on with them.
    #[command(after_help = examples::SWEEP)]
    Sweep(sweep::Args),
    /// Say what experiments will cost and what their test sets can show, before any is run.
    #[command(after_help = examples::PLAN)]
    Plan(plan::Args),
    /// List all runs, with what they are worth.
    #[command(after_help = examples::REPORT)]
    Report(report::Args),
    /// Show everything about one run.
    #[command(after_help = examples::SHOW)]
    Show(show::Args),
    /// Draw a run, or many together: history, confusion, ROC, calibration, mistakes; trials, effects, parallel coordinates.
    #[command(after_help = examples::PLOT)]
    Plot(plot::Args),
    /// Say what a run calls images: a JSON object a line.
    #[command(after_help = examples::PREDICT)]
    Predict(predict::Args),
    /// Write runs for other tools: CSV, JSON, Parquet, TensorBoard, MLflow, Optuna, safetensors, ONNX.
    #[command(after_help = examples::EXPORT)]
    Export(export::Args),
    /// Serve runs, sweeps and data as a local page in the browser.
    #[command(after_help = examples::UI)]
    Ui(ui::Args),
    /// Compare runs on the same test images: which is better, by how much, and how sure that is.
    #[command(after_help = examples::COMPARE)]
    Compare(compare::Args),
    /// Run a run again and say whether it comes out bit-identical.
    #[command(after_help = examples::REPLAY)]
    Replay(replay::Args),
    /// Look at, synthesize, unpack and split data.
    #[command(subcommand)]
    Data(data::Command),
    /// Check experiment files without running them.
    #[command(after_help = examples::CHECK)]
    Check(check::Args),
    /// Print the JSON Schema of experiment files, for completion in editors.
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Say what this build and this machine can do.
    #[command(after_help = examples::DOCTOR)]
    Doctor,
    /// Look after the store.
    #[command(subcommand)]
    Store(store::Command),
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every command.
    #[command(after_help = examples::MAN)]
    Man(man::Args),
    /// Do one run in its folder; started by `run` and `sweep`.
    #[command(hide = true)]
    Worker(worker::Args),
}

impl Cli {
    /// Calls the command.
    ///
    /// # Errors
    /// [`Failure`] with the message to print and the exit code.
    pub fn run(self) -> Result<(), Failure> {
        let unsettled = matches!(
            self.command,
            Command::Worker(_) | Command::Schema | Command::Completions { .. } | Command::Man(_)
        );
        let settings = if unsettled { Settings::default() } else { settings()? };
        let global = Global::new(self.options, settings);
        match self.command {
            Command::Run(args) => run::run(&args, &global),
            Command::Sweep(args) => sweep::run(&args, &global),
            Command::Plan(args) => plan::run(&args, &global),
            Command::Report(args) => report::run(&args, &global),
            Command::Show(args) => show::run(&args, &global),
            Command::Plot(args) => plot::run(&args, &global),
            Command::Predict(args) => predict::run(&args, &global),
            Command::Export(args) => export::run(&args, &global),
            Command::Ui(args) => ui::run(&args, &global),
            Command::Compare(args) => compare::run(&args, &global),
            Command::Replay(args) => replay::run(&args, &global),
            Command::Data(command) => data::run(&command, &global),
            Command::Check(args) => check::run(&args, &global),
            Command::Schema => schema::run(),
            Command::Doctor => doctor::run(&global),
            Command::Store(command) => store::run(&command, &global),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "emo-runner", &mut script);
                print(&String::from_utf8_lossy(&script))
            }
            Command::Man(args) => man::run(&args),
            Command::Worker(args) => worker::run(&args),
        }
    }
}

/// What emo-runner.toml says for the working directory.
fn settings() -> Result<Settings, Failure> {
    // Without a working directory there is nothing to look in.
    Ok(std::env::current_dir().map_or_else(|_| Ok(Settings::default()), |folder| Settings::find(&folder))?)
}

/// Prints to stdout; a reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(harmless(text).as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::run(error)),
        _ => Ok(()),
    }
}

/// Writes a page and says where it is.
fn write_page(file: &Path, page: &str) -> Result<(), Failure> {
    crate::train::folder::write_atomically(file, page.as_bytes())
        .map_err(|error| Failure::run(format!("{} cannot be written: {error}.", file.display())))?;
    print(&format!("{}\n", file.display()))
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::run)? + "\n";
    // What else a terminal obeys, as JSON writes it; it occurs in strings only.
    let obeyed = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
    let escape = |c: char| if obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    print(&if text.contains(obeyed) { text.chars().map(escape).collect() } else { text })
}
