//! What can be wrong with the options, each in one sentence for a person.

use std::io;
use std::net::SocketAddr;

/// Why the options could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {file}: {why}")]
    Unreadable { file: String, why: io::Error },
    #[error("{file} is larger than {max} bytes, which no configuration file should be")]
    TooLarge { file: String, max: u64 },
    #[error("{file}, line {line}: {what}")]
    NotToml { file: String, line: usize, what: String },
    #[error("unknown key {key:?} in {file}: the nearest known one is {nearest:?}")]
    UnknownKey { file: String, key: String, nearest: &'static str },
    #[error("{key:?} is in {file} twice, once with dashes and once with underscores")]
    Twice { file: String, key: &'static str },
    #[error("{key:?} in {file} must be text, a whole number, true or false")]
    KeyType { file: String, key: &'static str },
    #[error("unknown variable {name}: the nearest known one is {nearest}")]
    UnknownVariable { name: String, nearest: &'static str },
    #[error("the variable {name} is not UTF-8 text")]
    NotUnicode { name: String },
    #[error("{place}: {text:?} does not fit: it takes {wanted}")]
    Value { place: String, text: String, wanted: String },
    #[error("{place}: it takes {wanted}")]
    SecretValue { place: String, wanted: String },
    #[error("--resp, --memcached and --http are all off, so there is nothing to serve")]
    AllOff,
    #[error("--{first} and --{second} are both {address}: each needs a port of its own")]
    SameAddress { first: &'static str, second: &'static str, address: SocketAddr },
    #[error("--nodes-max is {max}, which is less than --nodes-min, which is {min}")]
    NodesMax { min: usize, max: usize },
    #[error(
        "--link {link} can be reached from elsewhere, so it needs a cluster secret: set SWELL_TOKEN or pass --token"
    )]
    NoToken { link: String },
    #[error("--advertise is for nodes that other machines reach over TCP: pass --link HOST:PORT as well")]
    NothingToAdvertise,
    #[error("--advertise {advertise} has a port: each node takes a free one, so it is a host only")]
    AdvertisedPort { advertise: String },
}
