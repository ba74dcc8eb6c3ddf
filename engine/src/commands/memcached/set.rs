//! set, add, replace: store an item always, only where there is none, only where there is one.

use swell_wire::{Args, Out};

use super::doc::{ADDED_KEY, STORE, STORED_KEY};
use super::item::{self, Line};
use super::stat::McStat;
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub(super) static SET: Spec = Spec {
    name: "set",
    summary: "Stores an item with its flags and exptime, over whatever was there.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::STRING,
    keys: STORED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: STORE,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::At(5),
    body: Body::Keys(set),
};

pub(super) static ADD: Spec = Spec {
    name: "add",
    summary: "Stores an item if its key has none.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::STRING,
    keys: ADDED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: STORE,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::At(5),
    body: Body::Keys(add),
};

pub(super) static REPLACE: Spec = Spec {
    name: "replace",
    summary: "Stores an item if its key has one already.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::STRING,
    keys: STORED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: STORE,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::At(5),
    body: Body::Keys(replace),
};

fn set(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let line = Line::parse(args, cx.now_ms())?;
    cx.count(McStat::CmdSet);
    let key = cx.key(args, 0);
    line.store(cx, key, item::data(args));
    out.raw(b"STORED\r\n");
    Ok(())
}

fn add(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    store_where(cx, args, out, false)
}

fn replace(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    store_where(cx, args, out, true)
}

/// Stores where there is an item already, or where there is none.
fn store_where(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, present: bool) -> Reply {
    let line = Line::parse(args, cx.now_ms())?;
    cx.count(McStat::CmdSet);
    let key = cx.key(args, 0);
    if cx.write_lookup(key).is_some() != present {
        out.raw(b"NOT_STORED\r\n");
        return Ok(());
    }
    line.store(cx, key, item::data(args));
    out.raw(b"STORED\r\n");
    Ok(())
}
