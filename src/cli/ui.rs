//! `ui`: the page.

use std::net::{IpAddr, Ipv4Addr};

use super::exit::Failure;
use super::{Global, open, print};
use crate::report::tell;
use crate::ui::serve;

/// Arguments of `ui`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port of 127.0.0.1 to listen at; 0 for any that is free.
    #[arg(long, default_value_t = 8356)]
    port: u16,
    /// Let the page change tags, notes and what is archived.
    #[arg(long)]
    allow_edit: bool,
}

/// Serves the page until Ctrl-C.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    // What workers wrote while nobody read it is taken first.
    let (results, _) = open::store(global)?;
    serve(results, IpAddr::V4(Ipv4Addr::LOCALHOST), args.port, args.allow_edit, |address| {
        // A reader of stdout that has gone away does not stop the page.
        let _ = print(&if global.json {
            format!("{{\"address\":\"http://{address}/\"}}\n")
        } else {
            format!("http://{address}/\n")
        });
        if !global.quiet {
            tell(format_args!(
                "Ctrl-C stops it.{}",
                if args.allow_edit { "" } else { " It only shows; --allow-edit lets it change notes." }
            ));
        }
    })
    .map_err(Failure::run)
}
