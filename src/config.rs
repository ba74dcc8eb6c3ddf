//! The options: one table that gives each its field, sentence, notation and default, and what was written its meaning.
//!
//! The command line, the `SWELL_*` variables, the configuration file, `docs/config.md` and `example.toml` all read from
//! this table. An option's name is its field's with dashes; see [`OptionRow`] for the others.

pub mod error;
pub mod layers;
pub mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::machine::Machine;
use error::ConfigError;
use layers::{Origin, Written};
use swell_node::link::socket::Address;
use values::{
    Bytes, Cores, Count, File, LinkAt, ListenAt, OneOf, PolicyName, Reader, Seconds, Secret, Separator, Switch, Word,
};
use values::{FirstNode, Listen, LogFormat, LogLevel, Password, Policy, Profile, Scaling};

/// Smallest limit of a client's buffers, in bytes: below it not even one ordinary request fits.
pub const BUFFER_BYTES_MIN: u64 = 64 << 10;
/// Most bytes that a string value can have, over either protocol.
pub const ITEM_BYTES_MAX: u64 = 512 << 20;
/// Most workers of one process.
pub const WORKERS_MAX: usize = 256;
/// Smallest share of a core that a node may be held to.
pub const NODE_CPUS_MIN: f64 = 0.01;
/// With fewer cores nodes are not kept apart unless somebody says so: proxy and system need some, too.
pub const PIN_CORES_MIN: usize = 4;
/// Most nodes that one process starts.
pub const NODES_MAX: usize = 128;
/// Most ECPUs per second that a node can be planned to serve.
pub const ECPU_PER_SECOND_MAX: usize = 1_000_000_000;
/// Most clients that may be allowed in; above it the kernel's own file limits decide.
pub const CLIENTS_MAX: usize = 1_000_000;
/// Longest time-out of an idle client, in seconds: one year.
pub const TIMEOUT_SECONDS_MAX: u64 = 31_536_000;

/// What an option is when nobody says anything.
#[derive(Clone, Copy)]
pub enum DefaultValue {
    Fixed(&'static str),
    /// Depends on the machine: how the reference page says it, and the value on a given machine.
    OfMachine {
        words: &'static str,
        value: fn(&Machine) -> String,
    },
    /// Depends on other options too: `others` gives their text by field.
    OfOthers {
        words: &'static str,
        value: fn(others: &dyn Fn(&str) -> String, machine: &Machine) -> String,
    },
}

/// One option as every notation knows it.
pub struct OptionRow {
    /// `maxmemory_policy`: the field, and a spelling that the configuration file accepts as well.
    pub field: &'static str,
    /// `maxmemory-policy`: the long flag is `--` and this; the key in the configuration file is this.
    pub name: String,
    /// `SWELL_MAXMEMORY_POLICY`
    pub variable: String,
    /// What stands for the value in help texts, for example `ADDR|off`.
    pub placeholder: &'static str,
    pub sentence: &'static str,
    pub default: DefaultValue,
    /// A secret's value is never shown.
    pub secret: bool,
    /// Whether `text` can be read as this option's value; otherwise what was wanted.
    pub check: fn(&str) -> Result<(), String>,
}

impl OptionRow {
    /// The default on `machine` where nobody says anything about other options, in the notation that a person would
    /// write.
    pub fn default_on(&self, machine: &Machine) -> String {
        self.default_among(&|field| option(field).default_on(machine), machine)
    }

    /// The default on `machine` beside these other options.
    pub fn default_among(&self, others: &dyn Fn(&str) -> String, machine: &Machine) -> String {
        match self.default {
            DefaultValue::Fixed(text) => text.to_owned(),
            DefaultValue::OfMachine { value, .. } => value(machine),
            DefaultValue::OfOthers { value, .. } => value(others, machine),
        }
    }

    /// The default in words, the same on every machine.
    pub fn default_words(&self) -> &'static str {
        match self.default {
            DefaultValue::Fixed(text) => text,
            DefaultValue::OfMachine { words, .. } | DefaultValue::OfOthers { words, .. } => words,
        }
    }
}

/// Every option, in the order of the reference page.
pub static OPTIONS: LazyLock<Vec<OptionRow>> = LazyLock::new(rows);

/// The option whose field is `field`.
///
/// # Panics
/// When the table has no such field, which only a slip in this program's text can cause.
pub fn option(field: &str) -> &'static OptionRow {
    OPTIONS.iter().find(|row| row.field == field).unwrap_or_else(|| panic!("the option table has no field {field}"))
}

macro_rules! options {
    ($(
        $(#[doc = $sentence:literal])+
        $field:ident: $type:ty = $reader:expr, $placeholder:literal, $default:expr;
    )+) => {
        /// What all options mean, once read and checked, and where each came from.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $sentence])+ pub $field: $type, )+
            origins: BTreeMap<&'static str, Origin>,
        }

        impl Config {
            /// Reads what was written, option by option.
            fn mean(written: &Written) -> Result<Self, ConfigError> {
                Ok(Config {
                    $( $field: written.read(stringify!($field), &$reader)?, )+
                    origins: written.origins(),
                })
            }

            /// Every option's field and value in the notation that a person would write, secrets included.
            fn shown(&self) -> Vec<(&'static str, String)> {
                vec![ $( (stringify!($field), $reader.show(&self.$field)), )+ ]
            }
        }

        fn rows() -> Vec<OptionRow> {
            vec![ $( OptionRow {
                field: stringify!($field),
                name: stringify!($field).replace('_', "-"),
                variable: format!("SWELL_{}", stringify!($field).to_ascii_uppercase()),
                placeholder: $placeholder,
                sentence: concat!($($sentence),+).trim_start(),
                default: $default,
                secret: $reader.secret(),
                check: |text| $reader.read(text).map(drop),
            } ),+ ]
        }
    };
}

options! {
    /// Address for RESP clients (Valkey, Redis).
    resp: Listen = ListenAt, "ADDR|off", DefaultValue::Fixed("127.0.0.1:6379");
    /// Address for memcached clients.
    memcached: Listen = ListenAt, "ADDR|off", DefaultValue::Fixed("127.0.0.1:11211");
    /// Address for `/metrics`, `/usage`, `/status`, `/events`, `/healthz` and `/readyz` over HTTP. A proxy may be beside
    /// it, so where nobody says `swell scaler` takes port 9122.
    http: Listen = ListenAt, "ADDR|off", DefaultValue::Fixed("127.0.0.1:9121");
    /// Threads that serve clients.
    workers: usize = Count { min: 1, max: WORKERS_MAX }, "N",
        DefaultValue::OfMachine { words: "the cores this process may use", value: |machine| machine.cores.to_string() };
    /// Directory for what outlives the process: the cache's identity, its slot map and its settings; without one
    /// nothing is written to disk.
    data_dir: Option<PathBuf> = File, "DIR", DefaultValue::Fixed("");
    /// Password that clients of all three listeners must give; without one only this machine's clients are let in.
    /// A command line can be read by other users of the machine: prefer the variable or the file.
    requirepass: Password = Secret("password"), "PASSWORD", DefaultValue::Fixed("");
    /// File of users, a line `user NAME RULE ...` each, that ACL LOAD reads and ACL SAVE writes. The users of the cache
    /// begin with it, the default user too if it is in it.
    aclfile: Option<PathBuf> = File, "FILE", DefaultValue::Fixed("");
    /// Where the scaler listens for nodes, proxies and people's commands; only a Unix socket goes without a token.
    link: Option<Address> = LinkAt, "unix:PATH|HOST:PORT",
        DefaultValue::OfOthers {
            words: "a Unix socket `swell-link.sock` in the data directory; without one, in a folder of this user's under \
                $XDG_RUNTIME_DIR or the temporary directory that is named after the RESP port",
            value: |_, _| String::new(),
        };
    /// Host name or address of this machine by which proxies and nodes on others reach the nodes that are started here,
    /// where the link is TCP.
    advertise: String = Word, "HOST",
        DefaultValue::OfOthers {
            words: "the link's host; if that is any address, such as 0.0.0.0, the one that packets to elsewhere leave from",
            value: |_, _| String::new(),
        };
    /// Cluster secret that nodes, proxies and people's commands must give. A command line can be read by other users of
    /// the machine: prefer the variable or the file.
    token: Password = Secret("secret"), "SECRET", DefaultValue::Fixed("");
    /// Where the first node lives: in this process, or in a process of its own as all others do.
    first_node: FirstNode = OneOf(FirstNode::NAMES), "embedded|process", DefaultValue::Fixed("embedded");
    /// Nodes to start with, and never fewer.
    nodes_min: usize = Count { min: 1, max: NODES_MAX }, "N", DefaultValue::Fixed("1");
    /// Nodes at most; with more than one, atomic commands whose keys lie in several slots answer CROSSSLOT: BITOP,
    /// BLMOVE, BLMPOP, BLPOP, BRPOP, BRPOPLPUSH, BZMPOP, BZPOPMAX, BZPOPMIN, COPY, EVAL, EVALSHA, EVALSHA_RO, EVAL_RO,
    /// EXEC, FCALL, FCALL_RO, GEORADIUS, GEORADIUSBYMEMBER, GEOSEARCHSTORE, LCS, LMOVE, LMPOP, MSET, MSETEX, MSETNX,
    /// PFCOUNT, PFMERGE, RENAME, RENAMENX, RPOPLPUSH, SDIFF, SDIFFSTORE, SINTER, SINTERCARD, SINTERSTORE, SMOVE, SORT,
    /// SORT_RO, SUNION, SUNIONSTORE, WATCH, XREAD, XREADGROUP, ZDIFF, ZDIFFSTORE, ZINTER, ZINTERCARD, ZINTERSTORE,
    /// ZMPOP, ZRANGESTORE, ZUNION, ZUNIONSTORE.
    nodes_max: usize = Count { min: 1, max: NODES_MAX }, "N",
        DefaultValue::OfOthers { words: "as many as `nodes-min`", value: |others, _| others("nodes_min") };
    /// Whether nodes are added and removed, and slots moved, as the load asks for it; dry-run only says what would be
    /// done, in events. `swell scale` changes it while Swell runs.
    scaling: Scaling = OneOf(Scaling::NAMES), "on|off|dry-run", DefaultValue::Fixed("on");
    /// Bytes that one node is planned to hold: with more, a node is added. Nothing is refused because of it.
    node_memory: u64 = Bytes { min: 1 << 20, max: i64::MAX as u64 }, "SIZE",
        DefaultValue::OfMachine {
            words: "half of RAM, or of the cgroup's limit where that is less",
            value: |machine| values::show_bytes(machine.default_maxmemory().max(1 << 20)),
        };
    /// ECPUs per second that one node is planned to serve; 0 is no figure. Nothing is throttled because of it.
    node_ecpu_per_second: usize = Count { min: 0, max: ECPU_PER_SECOND_MAX }, "N", DefaultValue::Fixed("0");
    /// Bytes in and out per second that one node is planned to carry; 0 is no figure. Nothing is throttled because of it.
    node_network_bytes_per_second: u64 = Bytes { min: 0, max: i64::MAX as u64 }, "SIZE", DefaultValue::Fixed("0");
    /// Threads of each node that is a process of its own.
    node_workers: usize = Count { min: 1, max: WORKERS_MAX }, "N",
        DefaultValue::OfOthers {
            words: "as many as `node-cpus` keeps busy; without it the cores this process may use, divided by `nodes-min`",
            value: |others, machine| {
                let nodes = others("nodes_min").parse().unwrap_or(1).max(1);
                let workers = match others("node_cpus").parse::<f64>() {
                    Ok(cores) if cores > 0.0 => cores.ceil() as usize,
                    _ => machine.cores / nodes,
                };
                workers.clamp(1, WORKERS_MAX).to_string()
            },
        };
    /// Cores that each node that is a process of its own is held to, such as 0.5, by a control group where one can be
    /// made; 0 is no limit.
    node_cpus: f64 = Cores { min: NODE_CPUS_MIN, max: WORKERS_MAX as f64 }, "CORES", DefaultValue::Fixed("0");
    /// Bytes that the process of each such node is held to, by a control group where one can be made: the system kills it
    /// when it wants more. 0 is no limit.
    node_memory_max: u64 = Bytes { min: 0, max: i64::MAX as u64 }, "SIZE", DefaultValue::Fixed("0");
    /// Give each node that is a process of its own cores that no other node runs on, while there are enough.
    pin: bool = Switch, "on|off",
        DefaultValue::OfMachine {
            words: "on where this process may use four cores or more",
            value: |machine| if machine.cores >= PIN_CORES_MIN { "on" } else { "off" }.to_owned(),
        };
    /// Failure domain of this process, such as a rack or a data centre.
    zone: String = Word, "NAME", DefaultValue::Fixed("");
    /// Bytes that keys and values may take, such as 100mb or 2gb; 0 is no limit.
    maxmemory: u64 = Bytes { min: 0, max: i64::MAX as u64 }, "SIZE",
        DefaultValue::OfMachine {
            words: "half of RAM, or of the cgroup's limit where that is less",
            value: |machine| values::show_bytes(machine.default_maxmemory()),
        };
    /// What goes when memory is full: noeviction, allkeys-lru, allkeys-lfu, allkeys-random, volatile-lru, volatile-lfu,
    /// volatile-random or volatile-ttl. What memcached clients wrote may go unless noeviction is set explicitly.
    maxmemory_policy: Policy = PolicyName, "POLICY", DefaultValue::Fixed("noeviction");
    /// Count what every command costs.
    metering: bool = Switch, "on|off", DefaultValue::Fixed("on");
    /// The character that ends the prefix of keys, such as `:`, so that `swell bill --by prefix` tells what each prefix
    /// cost; `off`: prefixes are not counted.
    bill_prefixes: Option<u8> = Separator, "CHARACTER|off", DefaultValue::Fixed("off");
    /// Clients that may be connected at once, RESP and memcached together.
    maxclients: usize = Count { min: 1, max: CLIENTS_MAX }, "N", DefaultValue::Fixed("10000");
    /// Seconds after which an idle client is disconnected; 0 is never.
    timeout_seconds: u64 = Seconds { max: TIMEOUT_SECONDS_MAX }, "N", DefaultValue::Fixed("0");
    /// Largest value that a memcached client may store.
    memcached_item_bytes_max: u64 = Bytes { min: 1 << 10, max: ITEM_BYTES_MAX }, "SIZE", DefaultValue::Fixed("1mb");
    /// Request bytes of one client that may wait in memory; a client that sends more is disconnected.
    client_query_buffer_bytes_max: u64 = Bytes { min: BUFFER_BYTES_MIN, max: 1 << 40 }, "SIZE",
        DefaultValue::Fixed("1gb");
    /// Reply bytes of one client that may wait in memory; while there are more, its requests are not read.
    client_output_buffer_bytes_max: u64 = Bytes { min: BUFFER_BYTES_MIN, max: 1 << 40 }, "SIZE",
        DefaultValue::Fixed("256mb");
    /// What an ECPU is worth: as ElastiCache Serverless counts it, or after this engine's own CPU time.
    price_profile: Profile = OneOf(values::PROFILES), "elasticache|swell", DefaultValue::Fixed("elasticache");
    /// Prices to bill with, as a TOML file; without one those that ship with Swell.
    price_file: Option<PathBuf> = File, "FILE", DefaultValue::Fixed("");
    /// File that gets one JSON line with the addresses once they answer.
    ready_file: Option<PathBuf> = File, "FILE", DefaultValue::Fixed("");
    /// How log lines look: `auto` is text on a terminal and JSON otherwise.
    log_format: LogFormat = OneOf(LogFormat::NAMES), "text|json|auto", DefaultValue::Fixed("auto");
    /// The least severe log lines that are written.
    log_level: LogLevel = OneOf(LogLevel::NAMES), "error|warn|info|debug|trace", DefaultValue::Fixed("info");
}

impl Config {
    /// Reads all layers and checks what they mean together.
    ///
    /// # Errors
    /// One sentence that names the option, where it was written and what was wanted.
    pub fn resolve(written: &Written) -> Result<Self, ConfigError> {
        let config = Config::mean(written)?;
        config.check_listeners()?;
        config.check_nodes()?;
        Ok(config)
    }

    /// Where the value of `field` came from.
    pub fn origin(&self, field: &str) -> &Origin {
        self.origins.get(option(field).field).unwrap_or(&Origin::Default)
    }

    /// Whether nobody said anything about `field`.
    pub fn is_default(&self, field: &str) -> bool {
        *self.origin(field) == Origin::Default
    }

    /// One line for each option, `name = value  # from where`, which a configuration file accepts as it is.
    /// A secret shows only that it is set.
    pub fn explain(&self) -> String {
        let lines = self.shown().into_iter().map(|(field, value)| {
            let row = option(field);
            let value = if row.secret && !value.is_empty() { "(hidden)".to_owned() } else { value };
            (format!("{} = {}", row.name, values::toml_value(&value)), self.origin(field))
        });
        let lines: Vec<_> = lines.collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        lines.iter().map(|(line, origin)| format!("{line:width$}  # from {origin}\n")).collect()
    }

    fn check_nodes(&self) -> Result<(), ConfigError> {
        if self.nodes_max < self.nodes_min {
            return Err(ConfigError::NodesMax { min: self.nodes_min, max: self.nodes_max });
        }
        match &self.link {
            Some(link) if !link.is_local() && self.token.get().is_none() => {
                Err(ConfigError::NoToken { link: link.to_string() })
            }
            link if !self.advertise.is_empty() && link.as_ref().is_none_or(Address::is_local) => {
                Err(ConfigError::NothingToAdvertise)
            }
            _ if self.advertise.parse::<std::net::SocketAddr>().is_ok() => {
                Err(ConfigError::AdvertisedPort { advertise: self.advertise.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        let doors = [("resp", self.resp), ("memcached", self.memcached), ("http", self.http)];
        if doors.iter().all(|(_, listen)| listen.address().is_none()) {
            return Err(ConfigError::AllOff);
        }
        for (at, (first, one)) in doors.iter().enumerate() {
            for (second, other) in &doors[at + 1..] {
                if let (Some(one), Some(other)) = (one.address(), other.address())
                    && one == other
                    && one.port() != 0
                {
                    return Err(ConfigError::SameAddress { first, second, address: one });
                }
            }
        }
        Ok(())
    }
}
