//! A load that checks every answer: constant arrivals or a constant number of requests under way, over RESP or memcached,
//! against a model of what each key must be.
//!
//! `value`, `model`, `mix` and `wire` are values in, values out; `client` is the loop over sockets; `control` steers it
//! from another thread, `record` is what it has seen.

pub mod client;
pub mod control;
pub mod mix;
pub mod model;
pub mod outbox;
pub mod record;
pub mod value;
pub mod wire;
