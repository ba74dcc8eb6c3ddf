//! The connection commands.

mod auth;
mod client;
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
    &client::GETNAME,
    &tracking::GETREDIR,
    &client::HELP,
    &client::ID,
    &client::INFO,
    &client::KILL,
    &client::LIST,
    &client::NO_EVICT,
    &client::NO_TOUCH,
    &client::REPLY,
    &client::SETINFO,
    &client::SETNAME,
    &tracking::TRACKING,
    &tracking::TRACKINGINFO,
    &client::UNBLOCK,
    &echo::ECHO,
    &hello::HELLO,
    &ping::PING,
    &quit::QUIT,
    &reset::RESET,
    &select::SELECT,
];
