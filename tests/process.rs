//! The process as a whole: command line, listeners, doors, limits, memory, metrics, leaving.

mod apart;
mod apart_http;
mod bench;
mod blocking;
mod cli;
mod doors;
mod held;
mod leaving;
mod limits;
mod loadtest;
mod long_replies;
mod memory;
mod nodes_cli;
mod pages;
mod pubsub;
mod scaling;
mod several;
mod silent;
mod tracking;
mod users;
mod whole;
