//! SISMEMBER and SMISMEMBER: whether something is a member.

use swell_wire::{Args, Out};

use super::{NAMES, read};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// SISMEMBER.
pub static SISMEMBER: Spec = Spec {
    name: "sismember",
    summary: "Says whether something is a member of a set.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Set,
    arity: 3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("member", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(sismember),
};

/// SMISMEMBER.
pub static SMISMEMBER: Spec = Spec {
    name: "smismember",
    summary: "Says of several things whether they are members of a set.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of elements being checked for membership",
    group: Group::Set,
    arity: -3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, NAMES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(smismember),
};

fn sismember(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let engine = cx.engine;
    let is_member = read(cx, args)?.is_some_and(|set| set.contains(args.slice(2), engine.hasher()));
    out.int(i64::from(is_member));
    Ok(())
}

fn smismember(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (engine, members) = (cx.engine, args.from(2));
    let set = read(cx, args)?;
    out.array(members.len());
    for member in members.iter() {
        out.int(i64::from(set.is_some_and(|set| set.contains(member, engine.hasher()))));
    }
    cx.work(members.len() as u64 - 1);
    Ok(())
}
