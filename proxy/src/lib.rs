//! Clients: listen, admit, route, answer, meter. Holds no data.

pub mod access;
pub mod catalog;
pub mod charges;
pub mod client;
pub mod clients;
pub mod config;
pub mod core;
pub mod errands;
pub mod error;
pub mod files;
pub mod listen;
pub mod membership;
pub mod memcached;
pub mod metrics;
pub mod observe;
pub mod others;
mod outside;
pub mod pause;
pub mod plan;
pub mod pubsub;
pub mod push;
pub mod rates;
pub mod replies;
pub mod route;
pub mod server;
pub mod session;
pub mod shared;
pub mod stats;
pub mod tracking;
pub mod upstream;
pub mod worker;

pub use config::{ProxyConfig, Settings};
pub use membership::Control;
pub use server::{Listeners, Proxy};
pub use shared::Shared;
