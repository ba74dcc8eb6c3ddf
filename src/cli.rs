//! The command line: what can be typed, and what is done about it. `swell` alone is `swell serve`.
//!
//! The flags of `serve` are made from the option table, so that they cannot drift from the other notations.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Parser, Subcommand};

use crate::config::layers::{CONFIG_VARIABLE, Typed, Written};
use crate::config::{Config, OPTIONS};
use crate::loadtest_cli::Loadtest;
use crate::machine::Machine;
use crate::{Parts, bill, print};

/// A serverless cache of your own: one endpoint for Valkey, Redis and memcached clients that says what every command
/// cost.
#[derive(Debug, Parser)]
#[command(name = "swell", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Task>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve clients (also without this word)
    Serve(Serve),
    /// Print what a running Swell has used and what it costs, by command and family
    Bill {
        #[command(flatten)]
        reach: Reach,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if a running Swell serves clients, else with 1
    Health {
        #[command(flatten)]
        reach: Reach,
    },
    /// Put a load on servers and measure them
    Loadtest {
        #[command(subcommand)]
        tool: Loadtest,
    },
    /// Print a reference page
    Print {
        #[command(subcommand)]
        page: Page,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Page {
    /// Every command with its arity, flags, keys and cost
    Commands,
    /// Every option with its variable, key and default
    Config,
    /// Every metric with its type and meaning
    Metrics,
    /// A configuration file with every default, commented out
    ExampleToml,
}

/// Everything that `serve` takes: the option table's flags, and two that are no options.
#[derive(Clone, Debug, Default)]
struct Serve {
    typed: Typed,
    print_config: bool,
}

/// How to reach a running Swell: read like its own options, so that the same file and variables lead to it.
#[derive(Debug, clap::Args)]
struct Reach {
    /// Address of its HTTP listener
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Its password, if it has one (better in SWELL_REQUIREPASS)
    #[arg(long, value_name = "PASSWORD")]
    requirepass: Option<String>,
    /// Its configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Cli {
    /// Does what was typed; prints to `out`. `variables` is the environment.
    ///
    /// # Errors
    /// One sentence for a person.
    pub fn run(
        self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        parts: &Parts,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let resolve = |typed: &Typed| -> anyhow::Result<Config> {
            Ok(Config::resolve(&Written::gather(typed, variables, &Machine::here())?)?)
        };
        match self.command.unwrap_or(Task::Serve(self.serve)) {
            Task::Serve(serve) => {
                let config = resolve(&serve.typed)?;
                match serve.print_config {
                    true => out.write_all(config.explain().as_bytes())?,
                    false => (parts.serve)(config)?,
                }
            }
            Task::Bill { reach, json } => {
                out.write_all(bill::bill(&resolve(&reach.typed())?, json)?.as_bytes())?;
            }
            Task::Health { reach } => bill::health(&resolve(&reach.typed())?)?,
            Task::Loadtest { tool } => tool.run()?,
            Task::Print { page } => out.write_all(page.text(parts).as_bytes())?,
        }
        Ok(())
    }
}

impl Page {
    fn text(self, parts: &Parts) -> String {
        match self {
            Page::Commands => (parts.commands_page)(),
            Page::Config => print::config_page(),
            Page::Metrics => (parts.metrics_page)(),
            Page::ExampleToml => print::example_toml(),
        }
    }
}

impl Reach {
    fn typed(self) -> Typed {
        let values = [("http", self.http), ("requirepass", self.requirepass)];
        let values = values.into_iter().filter_map(|(field, text)| Some((field, text?)));
        Typed { values: BTreeMap::from_iter(values), config: self.config }
    }
}

impl clap::Args for Serve {
    fn augment_args(command: Command) -> Command {
        let flags = OPTIONS.iter().map(|row| {
            let default = match row.default_words() {
                "" => String::new(),
                words => format!(" [default: {words}]"),
            };
            let help = format!("{}{default} [env: {}]", row.sentence.trim_end_matches('.'), row.variable);
            Arg::new(row.field).long(&*row.name).value_name(row.placeholder).help(help)
        });
        command
            .args(flags)
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help(format!("Configuration file in TOML [env: {CONFIG_VARIABLE}]")),
            )
            .arg(
                Arg::new("print_config")
                    .long("print-config")
                    .action(ArgAction::SetTrue)
                    .help("Print every option's value and where it came from, and leave"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Serve {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut serve = Serve::default();
        serve.update_from_arg_matches(matches)?;
        Ok(serve)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for row in OPTIONS.iter() {
            if let Some(text) = matches.get_one::<String>(row.field) {
                self.typed.values.insert(row.field, text.clone());
            }
        }
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            self.typed.config = Some(path.clone());
        }
        self.print_config |= matches.get_flag("print_config");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
