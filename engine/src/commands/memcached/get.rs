//! get and gets: items by key, the latter with their uniques.

use swell_wire::{Args, Out};

use super::doc::{KEYS, READ_KEYS};
use super::item;
use super::stat::McStat;
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub(super) static GET: Spec = Spec {
    name: "get",
    summary: "Returns the items under one or more keys; keys without one are left out.",
    since: "1.0",
    complexity: "O(N) where N is the number of keys.",
    group: Group::Memcached,
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::STRING,
    keys: READ_KEYS,
    spread: Spread::Split(Merge::Values),
    tips: &[],
    arguments: KEYS,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(get),
};

pub(super) static GETS: Spec = Spec {
    name: "gets",
    summary: "Returns the items under one or more keys, each with the unique that cas asks for.",
    since: "1.2.4",
    complexity: "O(N) where N is the number of keys.",
    group: Group::Memcached,
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::STRING,
    keys: READ_KEYS,
    spread: Spread::Split(Merge::Values),
    tips: &[],
    arguments: KEYS,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(gets),
};

fn get(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    retrieve(cx, args, out, false)
}

fn gets(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    retrieve(cx, args, out, true)
}

fn retrieve(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, with_unique: bool) -> Reply {
    let keys = cx.keys_len();
    cx.work(keys.saturating_sub(1) as u64);
    let mark = out.mark();
    for n in 0..keys {
        let key = cx.key(args, n);
        let hit = item::write(cx, key, with_unique, out).inspect_err(|_| out.truncate(mark))?;
        cx.count(McStat::CmdGet);
        cx.count(if hit { McStat::GetHits } else { McStat::GetMisses });
    }
    out.raw(b"END\r\n");
    Ok(())
}
