//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

/// A channel stands where a key of its name would.
pub(super) const fn channels_at_one(last: isize) -> KeySpec {
    KeySpec {
        notes: "",
        access: Access::Channel,
        flags: &["not_key"],
        begin: Begin::Index(1),
        find: Find::Range { last, step: 1 },
    }
}

const CHANNELS: &[ArgDoc] = &[ArgDoc { multiple: true, ..plain_arg("channel", ArgKind::String) }];
const PATTERNS: &[ArgDoc] = &[ArgDoc { multiple: true, ..plain_arg("pattern", ArgKind::Pattern) }];
const SHARD_CHANNELS: &[ArgDoc] = &[ArgDoc { multiple: true, ..plain_arg("shardchannel", ArgKind::String) }];
const ANY_CHANNELS: &[ArgDoc] = &[ArgDoc { optional: true, multiple: true, ..plain_arg("channel", ArgKind::String) }];
const ANY_PATTERNS: &[ArgDoc] = &[ArgDoc { optional: true, multiple: true, ..plain_arg("pattern", ArgKind::Pattern) }];
const ANY_SHARD_CHANNELS: &[ArgDoc] =
    &[ArgDoc { optional: true, multiple: true, ..plain_arg("shardchannel", ArgKind::String) }];

/// What all six have in common.
const fn spec(name: &'static str, summary: &'static str, arity: i16, arguments: &'static [ArgDoc]) -> Spec {
    Spec {
        name,
        summary,
        since: "2.0.0",
        complexity: "O(N) where N is the number of channels or patterns named",
        group: Group::PubSub,
        arity,
        flags: Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        acl: Acl::PUBSUB.and(Acl::SLOW),
        keys: &[],
        spread: Spread::Anywhere,
        tips: &[],
        arguments,
        cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
        long: Long::Never,
        body: Body::Session,
    }
}

pub static SUBSCRIBE: Spec =
    spec("subscribe", "Subscribes to channels: their messages arrive from now on.", -2, CHANNELS);

pub static UNSUBSCRIBE: Spec =
    spec("unsubscribe", "Ends subscriptions to channels: those named, or all.", -1, ANY_CHANNELS);

pub static PSUBSCRIBE: Spec =
    spec("psubscribe", "Subscribes to all channels whose names match any of the patterns.", -2, PATTERNS);

pub static PUNSUBSCRIBE: Spec =
    spec("punsubscribe", "Ends subscriptions to patterns: those named, or all.", -1, ANY_PATTERNS);

pub static SSUBSCRIBE: Spec = Spec {
    since: "7.0.0",
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    keys: &[channels_at_one(-1)],
    ..spec("ssubscribe", "Subscribes to shard channels.", -2, SHARD_CHANNELS)
};

pub static SUNSUBSCRIBE: Spec = Spec {
    since: "7.0.0",
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    keys: &[channels_at_one(-1)],
    ..spec("sunsubscribe", "Ends subscriptions to shard channels: those named, or all.", -1, ANY_SHARD_CHANNELS)
};
