//! touch: a new exptime for an item.

use swell_wire::{Args, Out};

use super::doc::{CHANGED_KEY, KEY_EXPTIME};
use super::fault::{BAD_EXPTIME, at_most};
use super::item::Expiry;
use super::stat::McStat;
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub(super) static TOUCH: Spec = Spec {
    name: "touch",
    summary: "Gives an item a new exptime without returning it.",
    since: "1.4.8",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE,
    keys: CHANGED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: KEY_EXPTIME,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(touch),
};

fn touch(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    // Memcached lets one word more than the exptime pass.
    at_most(args, 4)?;
    let expiry = Expiry::parse(args.slice(2), cx.now_ms()).ok_or(BAD_EXPTIME)?;
    cx.count(McStat::CmdTouch);
    let key = cx.key(args, 0);
    if cx.write_lookup(key).is_none() {
        cx.count(McStat::TouchMisses);
        out.raw(b"NOT_FOUND\r\n");
        return Ok(());
    }
    expiry.apply(cx, key);
    cx.count(McStat::TouchHits);
    out.raw(b"TOUCHED\r\n");
    Ok(())
}
