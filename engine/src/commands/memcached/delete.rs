//! delete: one item goes.

use swell_wire::{Args, Out};

use super::doc::{DELETED_KEY, ONE_KEY};
use super::fault::{BAD_DELETE, at_most};
use super::stat::McStat;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;

pub(super) static DELETE: Spec = Spec {
    name: "delete",
    summary: "Deletes an item.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE,
    keys: DELETED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: ONE_KEY,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(delete),
};

fn delete(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    at_most(args, 4)?;
    // Clients of old give a time for which the key stays locked; only none at all is still understood.
    if args.len() > 2 && !(args.len() == 3 && args.slice(2) == b"0") {
        return Err(BAD_DELETE);
    }
    let key = cx.key(args, 0);
    if cx.remove_lazily(key) {
        cx.notify(Class::GENERIC, "del", key);
        cx.count(McStat::DeleteHits);
        out.raw(b"DELETED\r\n");
    } else {
        cx.count(McStat::DeleteMisses);
        out.raw(b"NOT_FOUND\r\n");
    }
    Ok(())
}
