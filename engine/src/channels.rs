//! Where messages go: the engine runs PUBLISH and PUBSUB, wherever they come from, and asks whoever keeps subscriptions.

use std::sync::Arc;

/// The two kinds of channels; the same name is another channel in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    /// SUBSCRIBE and PUBLISH; patterns are about these.
    Plain,
    /// SSUBSCRIBE and SPUBLISH.
    Shard,
}

/// Who keeps subscriptions and hands messages on. Called under the locks of whatever publishes: quick, and never calls
/// the engine.
pub trait Channels: Send + Sync {
    /// Sends a message to all who have subscribed to the channel, or to a pattern that it matches; says how many
    /// subscriptions that were.
    fn publish(&self, kind: ChannelKind, channel: &[u8], message: &[u8]) -> u64;

    /// The channels that somebody has subscribed to and the pattern matches, each once.
    fn list(&self, kind: ChannelKind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>>;

    /// How many have subscribed to a channel, patterns apart.
    fn subscribers(&self, kind: ChannelKind, channel: &[u8]) -> u64;

    /// How many different patterns somebody has subscribed to.
    fn patterns(&self) -> u64;
}
