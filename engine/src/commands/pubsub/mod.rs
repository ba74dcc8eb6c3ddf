//! Channels: subscribing is the proxy's, publishing and asking are any node's.

mod introspect;
pub mod publish;
mod subscribe;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[
    &subscribe::PSUBSCRIBE,
    &publish::PUBLISH,
    &introspect::PUBSUB,
    &introspect::CHANNELS,
    &introspect::HELP,
    &introspect::NUMPAT,
    &introspect::NUMSUB,
    &introspect::SHARDCHANNELS,
    &introspect::SHARDNUMSUB,
    &subscribe::PUNSUBSCRIBE,
    &publish::SPUBLISH,
    &subscribe::SSUBSCRIBE,
    &subscribe::SUBSCRIBE,
    &subscribe::SUNSUBSCRIBE,
    &subscribe::UNSUBSCRIBE,
];
