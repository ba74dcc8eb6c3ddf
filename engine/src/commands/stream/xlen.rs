//! XLEN: how many entries a stream has.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::stream::Stream;

/// XLEN.
pub static XLEN: Spec = Spec {
    name: "xlen",
    summary: "Counts the entries of a stream.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::STREAM).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(xlen),
};

fn xlen(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let len = match cx.read(key) {
        Some(entry) => entry.collection::<Stream>()?.log().len(),
        None => 0,
    };
    out.int(len as i64);
    Ok(())
}
