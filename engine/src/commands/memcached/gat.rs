//! gat and gats: items by key, which are given a new exptime on the way.

use swell_wire::{Args, Out};

use super::doc::{EXPTIME_KEYS, TOUCHED_KEYS};
use super::fault::BAD_EXPTIME;
use super::item::{self, Expiry};
use super::stat::McStat;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub(super) static GAT: Spec = Spec {
    name: "gat",
    summary: "Returns the items under one or more keys and gives them a new exptime.",
    since: "1.5.3",
    complexity: "O(N) where N is the number of keys.",
    group: Group::Memcached,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::STRING,
    keys: TOUCHED_KEYS,
    spread: Spread::Split(Merge::Values),
    tips: &[],
    arguments: EXPTIME_KEYS,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(gat),
};

pub(super) static GATS: Spec = Spec {
    name: "gats",
    summary: "Returns the items under one or more keys with their uniques and gives them a new exptime.",
    since: "1.5.3",
    complexity: "O(N) where N is the number of keys.",
    group: Group::Memcached,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::STRING,
    keys: TOUCHED_KEYS,
    spread: Spread::Split(Merge::Values),
    tips: &[],
    arguments: EXPTIME_KEYS,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(gats),
};

fn gat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    retrieve(cx, args, out, false)
}

fn gats(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    retrieve(cx, args, out, true)
}

fn retrieve(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, with_unique: bool) -> Reply {
    let expiry = Expiry::parse(args.slice(1), cx.now_ms()).ok_or(BAD_EXPTIME)?;
    let keys = cx.keys_len();
    if keys > 1 {
        all_strings(cx, args, keys)?;
    }
    cx.work(keys.saturating_sub(1) as u64);
    for n in 0..keys {
        let key = cx.key(args, n);
        let hit = item::write(cx, key, with_unique, out)?;
        if hit {
            expiry.apply(cx, key);
        }
        cx.count(McStat::CmdTouch);
        cx.count(if hit { McStat::TouchHits } else { McStat::TouchMisses });
    }
    out.raw(b"END\r\n");
    Ok(())
}

/// Refuses before the first change what would be refused after it.
fn all_strings(cx: &mut Exec<'_>, args: Args<'_>, keys: usize) -> Result<(), Fault> {
    for n in 0..keys {
        let key = cx.key(args, n);
        if let Some(entry) = cx.peek(key) {
            item::string(&entry)?;
        }
    }
    Ok(())
}
