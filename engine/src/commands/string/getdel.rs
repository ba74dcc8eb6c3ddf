//! GETDEL: the string at a key, for the last time.

use swell_wire::{Args, Out};

use super::bulk;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::{Access, Acl, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// GETDEL.
pub static GETDEL: Spec = Spec {
    name: "getdel",
    summary: "Answers the string at a key and removes the key.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Delete, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(getdel),
};

fn getdel(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    match cx.read(key) {
        Some(entry) => bulk(out, entry.string()?),
        None => {
            out.null();
            return Ok(());
        }
    }
    cx.remove(key);
    cx.notify(Class::GENERIC, "del", key);
    Ok(())
}
