//! The option table's flags: all of them for `serve`, some for the other commands, always with the same words.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::config::layers::{CONFIG_VARIABLE, Typed};
use crate::config::{OPTIONS, OptionRow};

/// Which options a command takes, and whether it can print them.
pub trait Chosen {
    /// Whether it takes the option with this field.
    fn takes(field: &str) -> bool;
    /// Whether it has `--print-config`.
    const PRINTS: bool = false;
}

/// What was typed of the options that `C` chooses.
pub struct Flags<C> {
    pub typed: Typed,
    pub print_config: bool,
    chosen: PhantomData<C>,
}

/// `swell serve` takes every option.
#[derive(Debug)]
pub struct OfServe;

/// `swell proxy`: listeners, limits, passwords, prices; nothing that belongs to nodes or to the scaler.
#[derive(Debug)]
pub struct OfProxy;

/// `swell scaler`: what concerns nodes and the cache as a whole, HTTP and prices; nothing of clients.
#[derive(Debug)]
pub struct OfScaler;

/// `swell node`.
#[derive(Debug)]
pub struct OfNode;

/// What leads people's commands to the scaler.
#[derive(Debug)]
pub struct OfPeople;

impl Chosen for OfServe {
    fn takes(_: &str) -> bool {
        true
    }

    const PRINTS: bool = true;
}

impl Chosen for OfProxy {
    fn takes(field: &str) -> bool {
        let others =
            ["data_dir", "link", "advertise", "first_node", "nodes_min", "nodes_max", "node_workers", "scaling"];
        let held = ["node_cpus", "node_memory_max", "pin"];
        let planning = ["node_memory", "node_ecpu_per_second", "node_network_bytes_per_second"];
        // These hold for the cache, so the scaler's own process says them.
        let caches = ["maxmemory", "maxmemory_policy", "memcached_item_bytes_max"];
        !others.contains(&field) && !planning.contains(&field) && !held.contains(&field) && !caches.contains(&field)
    }
}

impl Chosen for OfScaler {
    fn takes(field: &str) -> bool {
        let clients = ["resp", "memcached", "workers", "metering", "bill_prefixes", "maxclients", "timeout_seconds"];
        let buffers = ["client_query_buffer_bytes_max", "client_output_buffer_bytes_max"];
        // All its nodes are processes of their own.
        field != "first_node" && ![&clients[..], &buffers].concat().contains(&field)
    }
}

impl Chosen for OfNode {
    fn takes(field: &str) -> bool {
        ["token", "zone", "workers", "log_format", "log_level"].contains(&field)
    }
}

impl Chosen for OfPeople {
    fn takes(field: &str) -> bool {
        ["link", "token", "data_dir", "resp"].contains(&field)
    }
}

impl<C> Default for Flags<C> {
    fn default() -> Self {
        Flags { typed: Typed::default(), print_config: false, chosen: PhantomData }
    }
}

impl<C> fmt::Debug for Flags<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_struct("Flags").field("fields", &self.typed.values.keys()).finish_non_exhaustive()
    }
}

fn rows<C: Chosen>() -> impl Iterator<Item = &'static OptionRow> {
    OPTIONS.iter().filter(|row| C::takes(row.field))
}

fn flag(row: &'static OptionRow) -> Arg {
    let default = match row.default_words() {
        "" => String::new(),
        words => format!(" [default: {words}]"),
    };
    let help = format!("{}{default} [env: {}]", row.sentence.trim_end_matches('.'), row.variable);
    Arg::new(row.field).long(&*row.name).value_name(row.placeholder).help(help)
}

impl<C: Chosen> clap::Args for Flags<C> {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("Configuration file in TOML [env: {CONFIG_VARIABLE}]"));
        let command = command.args(rows::<C>().map(flag)).arg(config);
        if !C::PRINTS {
            return command;
        }
        command.arg(
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

impl<C: Chosen> FromArgMatches for Flags<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for row in rows::<C>() {
            if let Some(text) = matches.get_one::<String>(row.field) {
                self.typed.values.insert(row.field, text.clone());
            }
        }
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            self.typed.config = Some(path.clone());
        }
        self.print_config |= C::PRINTS && matches.get_flag("print_config");
        Ok(())
    }
}
