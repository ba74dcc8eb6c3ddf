//! HLEN: the number of fields.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// HLEN.
pub static HLEN: Spec = Spec {
    name: "hlen",
    summary: "Answers how many fields a hash has.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(hlen),
};

/// Fields that have expired count until they are removed, as in Valkey.
fn hlen(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let len = read(cx, args)?.map_or(0, |hash| hash.len());
    out.int(len as i64);
    Ok(())
}
