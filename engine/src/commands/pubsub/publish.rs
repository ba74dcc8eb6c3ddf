//! PUBLISH, SPUBLISH.

use swell_wire::{Args, Out};

use super::subscribe::channels_at_one;
use crate::channels::ChannelKind;
use crate::commands::grammar::plain_arg;
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub static PUBLISH: Spec = Spec {
    name: "publish",
    summary: "Sends a message to all who have subscribed to a channel.",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of subscriptions it reaches and M the number of different patterns",
    group: Group::PubSub,
    arity: 3,
    flags: Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::MAY_REPLICATE),
    acl: Acl::PUBSUB.and(Acl::FAST),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("channel", ArgKind::String), plain_arg("message", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Free(publish),
};

pub static SPUBLISH: Spec = Spec {
    name: "spublish",
    summary: "Sends a message to all who have subscribed to a shard channel.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of subscriptions it reaches",
    keys: &[channels_at_one(0)],
    spread: Spread::One,
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    arguments: &[plain_arg("shardchannel", ArgKind::String), plain_arg("message", ArgKind::String)],
    body: Body::Free(spublish),
    ..PUBLISH
};

fn publish(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    send(cx, ChannelKind::Plain, args, out)
}

fn spublish(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    send(cx, ChannelKind::Shard, args, out)
}

/// One unit of work for each subscription it reaches, and one for the call.
fn send(cx: &mut Exec<'_>, kind: ChannelKind, args: Args<'_>, out: &mut Out) -> Reply {
    let receivers = cx.channels().map_or(0, |channels| channels.publish(kind, args.slice(1), args.slice(2)));
    cx.work(receivers);
    out.int(receivers as i64);
    Ok(())
}
