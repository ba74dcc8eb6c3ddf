//! PUBSUB CHANNELS, NUMSUB, NUMPAT, SHARDCHANNELS, SHARDNUMSUB, HELP. Every node knows every subscription.

use swell_wire::{Args, Out};

use crate::channels::ChannelKind;
use crate::commands::grammar::plain_arg;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;

const HELP_LINES: &[&str] = &[
    "PUBSUB <subcommand> [<arg> ...]. Subcommands are:",
    "CHANNELS [<pattern>]",
    "    List the channels with subscribers: all, or those that match <pattern>.",
    "NUMPAT",
    "    Count the different patterns with subscribers.",
    "NUMSUB [<channel> ...]",
    "    Count the subscribers of each <channel>, patterns apart.",
    "SHARDCHANNELS [<pattern>]",
    "    As CHANNELS, of shard channels.",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    As NUMSUB, of shard channels.",
    "HELP",
    "    Print these lines.",
];

const PATTERN: &[ArgDoc] = &[ArgDoc { optional: true, ..plain_arg("pattern", ArgKind::Pattern) }];

/// What all have in common.
const fn spec(name: &'static str, summary: &'static str, since: &'static str, arity: i16, body: Body) -> Spec {
    Spec {
        name,
        summary,
        since,
        complexity: "O(N) where N is the number of channels looked at",
        group: Group::PubSub,
        arity,
        flags: Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE),
        acl: Acl::PUBSUB.and(Acl::SLOW),
        keys: &[],
        spread: Spread::Anywhere,
        tips: &[],
        arguments: &[],
        cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Element },
        long: Long::Never,
        body,
    }
}

pub static PUBSUB: Spec = Spec {
    complexity: "Depends on subcommand.",
    flags: Flags::NONE,
    acl: Acl::SLOW,
    ..spec("pubsub", "Container for commands that tell about subscriptions.", "2.8.0", -2, Body::Container)
};

pub static CHANNELS: Spec = Spec {
    arguments: PATTERN,
    ..spec("pubsub|channels", "Lists the channels that have subscribers.", "2.8.0", -2, Body::Free(channels))
};

pub static HELP: Spec = Spec {
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW,
    complexity: "O(1)",
    ..spec("pubsub|help", "Lists the subcommands of PUBSUB.", "6.2.0", 2, Body::Free(help))
};

pub static NUMPAT: Spec = Spec {
    complexity: "O(1)",
    ..spec("pubsub|numpat", "Counts the different patterns that have subscribers.", "2.8.0", 2, Body::Free(numpat))
};

pub static NUMSUB: Spec = Spec {
    arguments: &[ArgDoc { optional: true, multiple: true, ..plain_arg("channel", ArgKind::String) }],
    ..spec("pubsub|numsub", "Counts the subscribers of channels.", "2.8.0", -2, Body::Free(numsub))
};

pub static SHARDCHANNELS: Spec = Spec {
    arguments: PATTERN,
    ..spec(
        "pubsub|shardchannels",
        "Lists the shard channels that have subscribers.",
        "7.0.0",
        -2,
        Body::Free(shard_channels),
    )
};

pub static SHARDNUMSUB: Spec = Spec {
    arguments: &[ArgDoc { optional: true, multiple: true, ..plain_arg("shardchannel", ArgKind::String) }],
    ..spec("pubsub|shardnumsub", "Counts the subscribers of shard channels.", "7.0.0", -2, Body::Free(shard_numsub))
};

fn channels(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    list(cx, ChannelKind::Plain, args, out)
}

fn shard_channels(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    list(cx, ChannelKind::Shard, args, out)
}

fn numsub(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    count(cx, ChannelKind::Plain, args, out)
}

fn shard_numsub(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    count(cx, ChannelKind::Shard, args, out)
}

fn list(cx: &mut Exec<'_>, kind: ChannelKind, args: Args<'_>, out: &mut Out) -> Reply {
    if args.len() > 3 {
        let spelt = String::from_utf8_lossy(args.slice(1));
        let why = format!("ERR unknown subcommand or wrong number of arguments for '{spelt}'. Try PUBSUB HELP.");
        return Err(Fault::Other(why.into()));
    }
    let found = cx.channels().map_or_else(Vec::new, |channels| channels.list(kind, args.opt(2)));
    cx.work(found.len() as u64);
    out.array(found.len());
    found.iter().for_each(|channel| out.bulk(channel));
    Ok(())
}

fn count(cx: &mut Exec<'_>, kind: ChannelKind, args: Args<'_>, out: &mut Out) -> Reply {
    let named = args.from(2);
    cx.work(named.len() as u64);
    out.array(named.len() * 2);
    for channel in named.iter() {
        out.bulk(channel);
        out.int(cx.channels().map_or(0, |channels| channels.subscribers(kind, channel)) as i64);
    }
    Ok(())
}

fn numpat(cx: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    out.int(cx.channels().map_or(0, |channels| channels.patterns()) as i64);
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    out.array(HELP_LINES.len());
    HELP_LINES.iter().for_each(|line| out.simple(line));
    Ok(())
}
