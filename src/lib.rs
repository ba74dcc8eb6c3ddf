//! The composition root of Swell: command line, configuration, listeners, the HTTP side, and what starts the roles.

pub mod banner;
pub mod bill;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod http;
pub mod identity;
pub mod ledger;
pub mod listen;
pub mod loadtest_cli;
pub mod logging;
pub mod machine;
pub mod memory;
pub mod metrics;

pub mod node;
pub mod nodes;
pub mod place;
pub mod print;
pub mod ready;
pub mod run;
pub mod scaler;
pub mod signals;
pub mod simulate_cli;
pub mod status;
pub mod users;

#[cfg(test)]
mod testing;
pub mod when;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

/// What the command line starts or prints and does not know itself.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Serves until asked to leave.
    pub serve: fn(config::Config) -> anyhow::Result<()>,
    /// Holds slots until asked to leave.
    pub node: fn(config::Config, cli::NodeTask) -> anyhow::Result<()>,
    /// Serves clients of a cache whose scaler runs elsewhere until asked to leave.
    pub proxy: fn(config::Config, cli::ProxyTask) -> anyhow::Result<()>,
    /// Starts nodes and drives the slot map until asked to leave.
    pub scaler: fn(config::Config, cli::ScalerTask) -> anyhow::Result<()>,
    /// `docs/commands.md`
    pub commands_page: fn() -> String,
    /// `docs/metrics.md`
    pub metrics_page: fn() -> String,
}

/// The whole program: reads `arguments` (the program's name first), does what they say, and prints the one error that
/// may come of it. Exit code 2 is a command line that cannot be read, 1 any other failure.
pub fn main_with<A>(arguments: impl IntoIterator<Item = A>, parts: &Parts) -> ExitCode
where
    A: Into<OsString> + Clone,
{
    memory::set_up();
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(help_or_error) => {
            // There is nobody left to tell if the terminal is gone.
            let _ = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(1));
        }
    };
    match cli.run(std::env::vars_os(), parts, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swell: {error:#}");
            ExitCode::FAILURE
        }
    }
}
