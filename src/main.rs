//! The program: logging, arguments, one command, one place that prints an error and chooses the exit code.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use emo_runner::cli::Cli;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("EMO_LOG").unwrap_or_else(|_| EnvFilter::new("warn,emo_runner=info"));
    // A log that nobody reads any more is no reason to stop.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(false).log_internal_errors(false).init();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}
