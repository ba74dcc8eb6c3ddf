//! ZSCORE and ZMSCORE: scores of members.

use swell_wire::{Args, Out};

use super::write_score;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZSCORE.
pub static ZSCORE: Spec = Spec {
    name: "zscore",
    summary: "Answers the score of a member of a sorted set.",
    since: "1.2.0",
    complexity: "O(1)",
    group: Group::SortedSet,
    arity: 3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("member", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zscore),
};

/// ZMSCORE.
pub static ZMSCORE: Spec = Spec {
    name: "zmscore",
    summary: "Answers the scores of several members of a sorted set.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members being requested.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("member", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zmscore),
};

fn zscore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let hasher = cx.tools().hasher;
    let score = match cx.read(cx.key(args, 0)) {
        Some(entry) => entry.collection::<ZSet>()?.score(args.slice(2), &hasher),
        None => None,
    };
    match score {
        Some(score) => write_score(out, score),
        None => out.null(),
    }
    Ok(())
}

fn zmscore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let hasher = cx.tools().hasher;
    let entry = cx.read(cx.key(args, 0));
    let zset = entry.map(|entry| entry.collection::<ZSet>()).transpose()?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member, &hasher)) {
            Some(score) => write_score(out, score),
            None => out.null(),
        }
    }
    cx.work(members.len() as u64 - 1);
    Ok(())
}
