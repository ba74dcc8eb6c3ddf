//! ZRANGE, ZREVRANGE and ZRANGESTORE: members in a range of ranks, scores or names.

use std::ops::Range;

use swell_wire::{Args, Out};

use super::{lex_range, score_range, write_head, write_member};
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply, Ttl};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::slices;
use crate::spec::*;
use crate::value::zset::{LexRange, ScoreRange, ZSet, ZSetRef};
use crate::value::{Collection, Limits};

/// ZRANGE.
pub static ZRANGE: Spec = Spec {
    name: "zrange",
    summary: "Answers the members of a sorted set in a range of ranks, scores or names.",
    since: "1.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("start", ArgKind::String),
        plain_arg("stop", ArgKind::String),
        ArgDoc {
            since: "6.2.0",
            optional: true,
            arguments: &[word_arg("byscore", "BYSCORE"), word_arg("bylex", "BYLEX")],
            ..plain_arg("sortby", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("REV", "6.2.0", "rev", ArgKind::PureToken) },
        ArgDoc {
            token: "LIMIT",
            since: "6.2.0",
            optional: true,
            arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
            ..plain_arg("limit", ArgKind::Block)
        },
        ArgDoc { optional: true, ..token("WITHSCORES", "", "withscores", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrange),
};

/// ZRANGESTORE.
pub static ZRANGESTORE: Spec = Spec {
    name: "zrangestore",
    summary: "Stores the members of a sorted set in a range of ranks, scores or names.",
    since: "6.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
    group: Group::SortedSet,
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[
        one_key(Access::Write, &["OW", "update"]),
        KeySpec {
            notes: "",
            access: Access::Read,
            flags: &["RO", "access"],
            begin: Begin::Index(2),
            find: Find::Range { last: 0, step: 1 },
        },
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        key_arg("dst", 0),
        key_arg("src", 1),
        plain_arg("min", ArgKind::String),
        plain_arg("max", ArgKind::String),
        ArgDoc {
            optional: true,
            arguments: &[word_arg("byscore", "BYSCORE"), word_arg("bylex", "BYLEX")],
            ..plain_arg("sortby", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("REV", "", "rev", ArgKind::PureToken) },
        ArgDoc {
            token: "LIMIT",
            optional: true,
            arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
            ..plain_arg("limit", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zrangestore, store_size),
};

/// ZREVRANGE.
pub static ZREVRANGE: Spec = Spec {
    name: "zrevrange",
    summary: "Answers the members of a sorted set in a range of ranks, from the highest score down.",
    since: "1.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("start", ArgKind::Integer),
        plain_arg("stop", ArgKind::Integer),
        ArgDoc { optional: true, ..token("WITHSCORES", "", "withscores", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrevrange),
};

/// What a range counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// What a command of this family has fixed in its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    /// Where the first bound stands.
    pub(super) at: usize,
    /// Nothing: it is an option.
    pub(super) by: Option<By>,
    pub(super) back: Option<bool>,
    /// Whether the members are stored, not answered.
    pub(super) stores: bool,
}

const STORE: Fixed = Fixed { at: 3, by: None, back: None, stores: true };

/// A range as a request gives it.
pub(super) struct Request<'a> {
    wanted: Wanted<'a>,
    back: bool,
    with_scores: bool,
    /// Members to pass over, and members at most (negative: all).
    limit: (i64, i64),
}

enum Wanted<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Names(LexRange<'a>),
}

impl<'a> Request<'a> {
    /// Reads bounds and options, in the order in which Valkey finds fault with them.
    pub(super) fn parse(args: Args<'a>, fixed: Fixed) -> Result<Request<'a>, Fault> {
        let (mut by, mut back, mut with_scores, mut limit) = (fixed.by, fixed.back, false, None);
        let mut at = fixed.at + 2;
        while let Some(word) = args.opt(at) {
            match word {
                _ if !fixed.stores && is_word(word, "WITHSCORES") => with_scores = true,
                _ if is_word(word, "LIMIT") && at + 2 < args.len() => {
                    limit = Some((integer(args.slice(at + 1))?, integer(args.slice(at + 2))?));
                    at += 2;
                }
                _ if back.is_none() && is_word(word, "REV") => back = Some(true),
                _ if by.is_none() && is_word(word, "BYLEX") => by = Some(By::Lex),
                _ if by.is_none() && is_word(word, "BYSCORE") => by = Some(By::Score),
                _ => return Err(Fault::Syntax),
            }
            at += 1;
        }
        let (by, back) = (by.unwrap_or(By::Rank), back.unwrap_or(false));
        // A limit that leaves nothing out is let pass.
        if limit.is_some_and(|(_, most)| most != -1) && by == By::Rank {
            return Err(Fault::say(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Fault::say("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (first, second) = (args.slice(fixed.at), args.slice(fixed.at + 1));
        // From the highest down the first bound is the upper one.
        let (min, max) = if back && by != By::Rank { (second, first) } else { (first, second) };
        let wanted = match by {
            By::Rank => Wanted::Ranks(integer(min)?, integer(max)?),
            By::Score => Wanted::Scores(score_range(min, max)?),
            By::Lex => Wanted::Names(lex_range(min, max)?),
        };
        Ok(Request { wanted, back, with_scores, limit: limit.unwrap_or((0, -1)) })
    }

    /// Valkey puts the members into a listpack, which does not know -0, until one is too long for it or they are too
    /// many; it knows that beforehand of a range of ranks only.
    fn pass_through_listpack(&self, members: &mut [(Vec<u8>, f64)], limits: &Limits) {
        if matches!(self.wanted, Wanted::Ranks(..)) && members.len() > limits.zset_entries {
            return;
        }
        let forget_sign = |(member, score): &mut (Vec<u8>, f64)| {
            let fits = member.len() <= limits.zset_value_bytes;
            if fits && *score == 0.0 {
                *score = 0.0;
            }
            fits
        };
        if self.back {
            members.iter_mut().rev().take(limits.zset_entries).all(forget_sign);
        } else {
            members.iter_mut().take(limits.zset_entries).all(forget_sign);
        }
    }

    /// The ranks that are asked for, from the lowest.
    fn ranks(&self, zset: ZSetRef<'_>) -> Range<usize> {
        let range = match &self.wanted {
            Wanted::Ranks(start, end) => {
                let (range, len) = (rank_range(*start, *end, zset.len()), zset.len());
                return if self.back { len - range.end..len - range.start } else { range };
            }
            Wanted::Scores(range) => zset.score_range(range),
            Wanted::Names(range) => zset.lex_range(range, self.back),
        };
        let (skip, most) = self.limit;
        let skip = match usize::try_from(skip) {
            Ok(skip) => skip.min(range.len()),
            // As Valkey: a negative offset counts from the other end of the range, but in a listpack leads nowhere.
            Err(_) => match (zset, usize::try_from(skip.unsigned_abs())) {
                (ZSetRef::Large(_), Ok(back)) if back <= range.len() => range.len() - back,
                _ => range.len(),
            },
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(range.len() - skip);
        if self.back {
            let end = range.end - skip;
            end - most..end
        } else {
            let start = range.start + skip;
            start..start + most
        }
    }
}

fn zrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, Fixed { at: 2, by: None, back: None, stores: false })
}

fn zrevrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, Fixed { at: 2, by: Some(By::Rank), back: Some(true), stores: false })
}

/// Answers the members of a range.
pub(super) fn answer(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, fixed: Fixed) -> Reply {
    let request = Request::parse(args, fixed)?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.array(0);
        return Ok(());
    };
    let Range { start, end } = request.ranks(entry.collection::<ZSet>()?);
    let (count, back, with_scores) = (end - start, request.back, request.with_scores);
    write_head(count, with_scores, out);
    let rest = slices::range::<ZSet>(&entry, 0..count, out, move |zset, part, room, out| {
        let ranks = if back { end - part.end..end - part.start } else { start + part.start..start + part.end };
        room.fill(zset.ranks(ranks, back), out, |member, out| write_member(member, with_scores, out))
    });
    cx.defer(rest);
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}

/// As many members as are stored.
fn store_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let Ok(request) = Request::parse(args, STORE) else { return 0 };
    let zset = cx.look(cx.key(args, 1)).and_then(|entry| entry.collection::<ZSet>().ok());
    zset.map_or(0, |zset| request.ranks(zset).len())
}

fn zrangestore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let request = Request::parse(args, STORE)?;
    let tools = cx.tools();
    let (to, from) = (cx.key(args, 0), cx.key(args, 1));
    let found = match cx.read(from) {
        Some(entry) => {
            let zset = entry.collection::<ZSet>()?;
            let range = request.ranks(zset);
            let mut members: Vec<(Vec<u8>, f64)> =
                zset.ranks(range, false).map(|(member, score)| (member.to_vec(), score)).collect();
            request.pass_through_listpack(&mut members, &tools.limits);
            let sorted = members.iter().map(|(member, score)| (&member[..], *score));
            ZSet::from_sorted(sorted, &tools.limits, &tools.hasher)
        }
        None => ZSet::empty(),
    };
    let count = found.view().len();
    if found.is_empty() {
        cx.remove_target(to);
    } else {
        cx.put_collection(to, found, Ttl::Clear);
        cx.notify(Class::SORTED_SET, "zrangestore", to);
    }
    out.int(count as i64);
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}

/// The ranks from `start` to `end` inclusive of `len`, where negative ones count from the end.
pub(super) fn rank_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_begin = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, end) = (from_begin(start).max(0), from_begin(end).min(len - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

fn integer(arg: &[u8]) -> Result<i64, Fault> {
    parse_i64(arg).ok_or(Fault::NotInteger)
}
