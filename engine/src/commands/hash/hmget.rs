//! HMGET: the values of several fields.

use swell_wire::{Args, Out};

use super::{NAMES, read};
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// HMGET.
pub static HMGET: Spec = Spec {
    name: "hmget",
    summary: "Answers the values of several fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields being requested",
    group: Group::Hash,
    arity: -3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, NAMES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hmget),
};

fn hmget(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (engine, now_ms, fields) = (cx.engine, cx.now_ms(), args.from(2));
    let hash = read(cx, args)?;
    out.array(fields.len());
    for field in fields.iter() {
        match hash.and_then(|hash| hash.get(field, engine.hasher(), now_ms)) {
            Some(value) => value.write(out),
            None => out.null(),
        }
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}
