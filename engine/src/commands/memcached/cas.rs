//! cas: store an item if nobody has changed it since its unique was asked for.

use swell_wire::memcached::number;
use swell_wire::{Args, Out};

use super::doc::{CHANGED_KEY, STORE_CAS};
use super::fault::BAD_LINE;
use super::item::{self, Line};
use super::stat::McStat;
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub(super) static CAS: Spec = Spec {
    name: "cas",
    summary: "Stores an item if it still has the unique that gets told.",
    since: "1.2.4",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -7,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::STRING,
    keys: CHANGED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: STORE_CAS,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::At(6),
    body: Body::Keys(cas),
};

fn cas(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let line = Line::parse(args, cx.now_ms())?;
    let unique = number::unsigned(args.slice(5)).ok_or(BAD_LINE)?;
    cx.count(McStat::CmdSet);
    let key = cx.key(args, 0);
    let Some(entry) = cx.write_lookup(key) else {
        cx.count(McStat::CasMisses);
        out.raw(b"NOT_FOUND\r\n");
        return Ok(());
    };
    if entry.cas() != Some(unique) {
        cx.count(McStat::CasBadval);
        out.raw(b"EXISTS\r\n");
        return Ok(());
    }
    line.store(cx, key, item::data(args));
    cx.count(McStat::CasHits);
    out.raw(b"STORED\r\n");
    Ok(())
}
