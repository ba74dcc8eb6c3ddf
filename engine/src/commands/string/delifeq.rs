//! DELIFEQ: a string away, if it is what the client takes it to be.

use swell_wire::{Args, Out};

use super::is_equal;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// DELIFEQ.
pub static DELIFEQ: Spec = Spec {
    name: "delifeq",
    summary: "Deletes a key if its string equals the one that is given.",
    since: "9.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Delete, &["RM", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(delifeq),
};

fn delifeq(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let is_same = match cx.write_lookup(key) {
        Some(entry) => is_equal(entry.string()?, args.slice(2)),
        None => false,
    };
    if is_same {
        cx.remove(key);
        cx.notify(Class::GENERIC, "del", key);
    }
    out.int(i64::from(is_same));
    Ok(())
}
