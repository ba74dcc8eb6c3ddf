//! The command line: what can be typed, and what is done about it. `swell` alone is `swell serve`.
//!
//! The flags of `serve` are made from the option table, so that they cannot drift from the other notations.

mod flags;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use swell_node::control::ScalingMode;
use swell_node::link::socket::Address;
use swell_proxy::shared::unix_ms;

use crate::config::Config;
use crate::config::layers::{Typed, Written};
use crate::http::Period;
use crate::loadtest_cli::{self, LoadtestTask};
use crate::machine::Machine;
use crate::simulate_cli::Simulate;
use crate::{Parts, bill, nodes, place, print};
use flags::{Flags, OfNode, OfPeople, OfProxy, OfScaler, OfServe};

/// What `swell node` is told besides its options.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct NodeTask {
    /// Where the scaler listens
    #[arg(long, value_name = "unix:PATH|HOST:PORT", value_parser = address)]
    pub join: Address,
    /// Where proxies and other nodes reach this node [default: a Unix socket beside the scaler's, or a free port of
    /// the address that the scaler is reached from]
    #[arg(long, value_name = "unix:PATH|HOST:PORT", value_parser = address)]
    pub advertise: Option<Address>,
    /// End when standard input ends, as a child must when its parent is gone
    #[arg(long)]
    pub leave_with_stdin: bool,
}

/// What `swell proxy` is told besides its options.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ProxyTask {
    /// Where the scaler listens
    #[arg(long, value_name = "unix:PATH|HOST:PORT", value_parser = address)]
    pub join: Address,
}

/// What `swell scaler` is told besides its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct ScalerTask {
    /// End the nodes that the last `swell scaler` with this data directory has left, with what they hold, and leave
    #[arg(long)]
    pub down: bool,
}

/// A serverless cache of your own: one endpoint for Valkey, Redis and memcached clients that says what every command
/// cost.
#[derive(Debug, Parser)]
#[command(name = "swell", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Task>,
    #[command(flatten)]
    serve: Flags<OfServe>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve clients (also without this word)
    Serve(Flags<OfServe>),
    /// Hold slots of a cache whose scaler runs elsewhere
    Node {
        #[command(flatten)]
        task: NodeTask,
        #[command(flatten)]
        options: Flags<OfNode>,
    },
    /// Serve clients of a cache whose scaler runs elsewhere
    Proxy {
        #[command(flatten)]
        task: ProxyTask,
        #[command(flatten)]
        options: Flags<OfProxy>,
    },
    /// Start nodes and drive the slot map; nodes live on when it ends, and the next one takes them over
    Scaler {
        #[command(flatten)]
        task: ScalerTask,
        #[command(flatten)]
        options: Flags<OfScaler>,
    },
    /// List the nodes, with what they hold and do
    Nodes(Asked),
    /// Show which node owns which slots
    Slots(Asked),
    /// Move slots to a node while they are used
    Move {
        /// Slots, such as 0-63,100
        slots: String,
        /// The node's number, as `swell nodes` shows it
        node: u32,
        #[command(flatten)]
        asked: Asked,
    },
    /// Move all slots off a node, which then leaves
    Drain {
        /// The node's number, as `swell nodes` shows it
        node: u32,
        #[command(flatten)]
        asked: Asked,
    },
    /// Show or change how the scaler acts; with a data directory a later start knows it, unless `scaling` is changed
    /// meanwhile
    Scale {
        #[arg(value_enum, default_value_t = How::Status)]
        how: How,
        #[command(flatten)]
        asked: Asked,
    },
    /// Show what has happened to nodes and slots
    Events {
        /// Go on as things happen
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Print what a running Swell has used since its start and what it costs, by command and family; or what its ledger
    /// says of another time
    Bill {
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        asked: OfLedger,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if a running Swell serves clients, else with 1
    Health {
        #[command(flatten)]
        reach: Reach,
    },
    /// Try the scaling policy on made-up loads in virtual time, beside other policies
    Simulate(Simulate),
    /// Put a load on a cache that checks every answer while nodes come and go; or compare servers
    Loadtest(LoadtestTask),
    /// See it scale, in a minute and a half: a small cache, real clients, one to four nodes and back, a node that is killed
    Demo,
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
    /// Every command of Valkey 9.1: whether it is here, and what is otherwise
    Compatibility,
    /// Every option with its variable, key and default
    Config,
    /// Every metric with its type and meaning
    Metrics,
    /// A configuration file with every default, commented out
    ExampleToml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// Show what it is set to, what it did last, and what nodes do
    Status,
    /// Decide nothing; moves that were begun go on
    Pause,
    /// Do what is decided
    Resume,
    /// Say what is decided, in events, and do nothing
    DryRun,
}

/// How people's commands find the scaler and what they print.
#[derive(Debug, clap::Args)]
struct Asked {
    #[command(flatten)]
    reach: Flags<OfPeople>,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
        let variables: Vec<_> = variables.into_iter().collect();
        let resolve = |typed: &Typed| -> anyhow::Result<Config> {
            Ok(Config::resolve(&Written::gather(typed, variables.clone(), &Machine::here())?)?)
        };
        let ask = |task: nodes::Task, asked: Asked, out: &mut dyn Write| -> anyhow::Result<()> {
            nodes::run(&task, &resolve(&asked.reach.typed)?, asked.json, out)
        };
        match self.command.unwrap_or(Task::Serve(self.serve)) {
            Task::Serve(serve) => {
                let config = resolve(&serve.typed)?;
                match serve.print_config {
                    true => out.write_all(config.explain().as_bytes())?,
                    false => (parts.serve)(config)?,
                }
            }
            Task::Node { task, options } => (parts.node)(resolve(&options.typed)?, task)?,
            Task::Proxy { task, options } => (parts.proxy)(resolve(&options.typed)?, task)?,
            Task::Scaler { task, options } => (parts.scaler)(resolve(&options.typed)?, task)?,
            Task::Nodes(asked) => ask(nodes::Task::Nodes, asked, out)?,
            Task::Slots(asked) => ask(nodes::Task::Slots, asked, out)?,
            Task::Move { slots, node, asked } => ask(nodes::Task::Move { slots, node }, asked, out)?,
            Task::Drain { node, asked } => ask(nodes::Task::Drain { node }, asked, out)?,
            Task::Scale { how, asked } => ask(nodes::Task::Scale { mode: how.mode() }, asked, out)?,
            Task::Events { follow, asked } => ask(nodes::Task::Events { follow }, asked, out)?,
            Task::Bill { reach, asked, json } => {
                let config = resolve(&reach.typed())?;
                let text = match asked.period()? {
                    Some(period) => bill::period(&config, &period, asked.data_dir.as_deref(), json)?,
                    None => bill::bill(&config, json)?,
                };
                out.write_all(text.as_bytes())?;
            }
            Task::Health { reach } => bill::health(&resolve(&reach.typed())?)?,
            Task::Simulate(simulate) => simulate.run(out)?,
            Task::Loadtest(task) => task.run()?,
            Task::Demo => loadtest_cli::demo()?,
            Task::Print { page } => out.write_all(page.text(parts).as_bytes())?,
        }
        Ok(())
    }
}

/// What the durable ledger is asked for.
#[derive(Debug, clap::Args)]
struct OfLedger {
    /// From when on: a time like 2026-11-23T10:00:00Z, a date, or so long ago, such as -1h [default: its beginning]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Until when, in the same forms [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// What a line stands for: command, family, hour, minute, user, client, db or prefix [default: command]
    #[arg(long, value_name = "WHAT")]
    by: Option<String>,
    /// Read the ledger in this data directory, whether a Swell runs there or not
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl OfLedger {
    /// None: nothing of it was typed.
    fn period(&self) -> anyhow::Result<Option<Period>> {
        let OfLedger { from, to, by, data_dir } = self;
        if from.is_none() && to.is_none() && by.is_none() && data_dir.is_none() {
            return Ok(None);
        }
        let period = Period::parse(from.as_deref(), to.as_deref(), by.as_deref(), unix_ms());
        Ok(Some(period.map_err(anyhow::Error::msg)?))
    }
}

impl How {
    fn mode(self) -> Option<ScalingMode> {
        match self {
            How::Status => None,
            How::Pause => Some(ScalingMode::Paused),
            How::Resume => Some(ScalingMode::On),
            How::DryRun => Some(ScalingMode::DryRun),
        }
    }
}

impl Page {
    fn text(self, parts: &Parts) -> String {
        match self {
            Page::Commands => (parts.commands_page)(),
            Page::Compatibility => print::compatibility_page(),
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

/// A link's address as it is typed.
fn address(text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(|error: swell_node::link::socket::BadAddress| error.to_string())?;
    let max = place::SOCKET_PATH_BYTES_MAX;
    let too_long = |bytes| format!("a Unix socket's path has at most {max} bytes, and this one has {bytes}");
    place::check_length(&address).map_err(too_long)?;
    Ok(address)
}

#[cfg(test)]
mod tests;
