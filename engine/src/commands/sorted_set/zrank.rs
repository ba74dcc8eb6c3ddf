//! ZRANK and ZREVRANK: places of members.

use swell_wire::{Args, Out};

use super::write_score;
use crate::commands::grammar::{KEY, one_key, plain_arg, token};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZRANK.
pub static ZRANK: Spec = Spec {
    name: "zrank",
    summary: "Answers a member's rank in a sorted set, counted from the lowest score.",
    since: "2.0.0",
    complexity: "O(log(N))",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("member", ArgKind::String),
        ArgDoc { optional: true, ..token("WITHSCORE", "", "withscore", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zrank),
};

/// ZREVRANK.
pub static ZREVRANK: Spec = Spec {
    name: "zrevrank",
    summary: "Answers a member's rank in a sorted set, counted from the highest score.",
    since: "2.0.0",
    complexity: "O(log(N))",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("member", ArgKind::String),
        ArgDoc { optional: true, ..token("WITHSCORE", "", "withscore", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zrevrank),
};

fn zrank(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    rank(cx, args, out, false, "zrank")
}

fn zrevrank(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    rank(cx, args, out, true, "zrevrank")
}

fn rank(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, back: bool, name: &'static str) -> Reply {
    let with_score = match args.opt(3) {
        _ if args.len() > 4 => return Err(Fault::WrongArity(name)),
        Some(word) if !is_word(word, "WITHSCORE") => return Err(Fault::Syntax),
        word => word.is_some(),
    };
    let hasher = cx.tools().hasher;
    let found = match cx.read(cx.key(args, 0)) {
        Some(entry) => {
            let zset = entry.collection::<ZSet>()?;
            zset.rank(args.slice(2), &hasher)
                .map(|(rank, score)| (if back { zset.len() - 1 - rank } else { rank }, score))
        }
        None => None,
    };
    match found {
        Some((rank, score)) if with_score => {
            out.array(2);
            out.int(rank as i64);
            write_score(out, score);
        }
        Some((rank, _)) => out.int(rank as i64),
        None if with_score => out.null_array(),
        None => out.null(),
    }
    Ok(())
}
