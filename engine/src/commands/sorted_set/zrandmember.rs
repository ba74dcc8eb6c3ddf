//! ZRANDMEMBER: members drawn at random.

use std::collections::BTreeSet;

use swell_wire::{Args, Out};

use super::write_members;
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg, token};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZRANDMEMBER.
pub static ZRANDMEMBER: Spec = Spec {
    name: "zrandmember",
    summary: "Answers members of a sorted set, drawn at random.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members returned",
    group: Group::SortedSet,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        ArgDoc {
            optional: true,
            arguments: &[
                plain_arg("count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("WITHSCORES", "", "withscores", ArgKind::PureToken) },
            ],
            ..plain_arg("options", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zrandmember, bulk::of_count),
};

/// Members drawn with repetition at most: what Valkey would write until its memory is full.
const REPEATED_MAX: i64 = 1 << 24;

fn zrandmember(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let Some(count) = args.opt(2) else { return one(cx, args, out) };
    let count = parse_i64(count).ok_or(Fault::NotInteger)?;
    let with_scores = match args.opt(3) {
        None => false,
        Some(word) if args.len() == 4 && is_word(word, "WITHSCORES") => true,
        Some(_) => return Err(Fault::Syntax),
    };
    if count == i64::MIN {
        return Err(Fault::say(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let is_vast = with_scores && !(-(i64::MAX / 2)..=i64::MAX / 2).contains(&count);
    if is_vast || count < -REPEATED_MAX {
        return Err(Fault::say("ERR value is out of range"));
    }
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.array(0);
        return Ok(());
    };
    let len = entry.collection::<ZSet>()?.len();
    let ranks = draw(count, len, || cx.random());
    let zset = cx.look(cx.key(args, 0)).map(|entry| entry.collection::<ZSet>()).transpose()?;
    let Some(zset) = zset else { return Ok(()) };
    match &ranks {
        // From the highest down, as Valkey answers a whole set.
        None => write_members(zset.downwards(len), len, with_scores, out),
        Some(ranks) => {
            let drawn = ranks.iter().filter_map(|&rank| zset.by_rank(rank));
            write_members(drawn, ranks.len(), with_scores, out);
        }
    }
    cx.work(ranks.map_or(len, |ranks| ranks.len()).saturating_sub(1) as u64);
    Ok(())
}

fn one(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let random = cx.random();
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.null();
        return Ok(());
    };
    let zset = entry.collection::<ZSet>()?;
    match zset.by_rank(below(random, zset.len())) {
        Some((member, _)) => member.write(out),
        None => out.null(),
    }
    Ok(())
}

/// The ranks to answer: for a negative count any, as often as they come; for a positive one each once, in random order.
/// Nothing: all there are.
fn draw(count: i64, len: usize, mut random: impl FnMut() -> u64) -> Option<Vec<usize>> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        return Some((0..wanted).map(|_| below(random(), len)).collect());
    }
    if wanted >= len {
        return None;
    }
    if wanted * 3 > len {
        // Many of them: leave some out.
        let mut ranks: Vec<usize> = (0..len).collect();
        for at in 0..wanted {
            ranks.swap(at, at + below(random(), len - at));
        }
        ranks.truncate(wanted);
        return Some(ranks);
    }
    let mut drawn = BTreeSet::new();
    let mut ranks = Vec::with_capacity(wanted);
    while ranks.len() < wanted {
        let rank = below(random(), len);
        if drawn.insert(rank) {
            ranks.push(rank);
        }
    }
    Some(ranks)
}

/// A number below `bound` from 64 random bits.
fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}
