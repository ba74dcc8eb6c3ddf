//! The connection commands.

mod auth;
mod client;
mod client_pause;
mod echo;
mod hello;
mod ping;
mod quit;
mod reset;
mod select;
mod tracking;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[
    &auth::AUTH,
    &client::CLIENT,
    &tracking::CACHING,
    &client_pause::CAPA,
    &client::GETNAME,
    &tracking::GETREDIR,
    &client::HELP,
    &client::ID,
    &client_pause::IMPORT_SOURCE,
    &client::INFO,
    &client::KILL,
    &client::LIST,
    &client::NO_EVICT,
    &client::NO_TOUCH,
    &client_pause::PAUSE,
    &client::REPLY,
    &client::SETINFO,
    &client::SETNAME,
    &tracking::TRACKING,
    &tracking::TRACKINGINFO,
    &client::UNBLOCK,
    &client_pause::UNPAUSE,
    &echo::ECHO,
    &hello::HELLO,
    &ping::PING,
    &quit::QUIT,
    &reset::RESET,
    &select::SELECT,
];
