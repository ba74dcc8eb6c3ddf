//! ZADD and ZINCRBY: members and their scores.

use swell_wire::{Args, Out};

use super::write_score;
use crate::commands::grammar::{KEY, one_key, plain_arg, token, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply, Tools};
use crate::notify::Class;
use crate::number::parse_f64;
use crate::spec::*;
use crate::value::Collection;
use crate::value::zset::ZSet;

/// ZADD.
pub static ZADD: Spec = Spec {
    name: "zadd",
    summary: "Adds members with scores to a sorted set, or changes their scores.",
    since: "1.2.0",
    complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            since: "3.0.2",
            optional: true,
            arguments: &[word_arg("nx", "NX"), word_arg("xx", "XX")],
            ..plain_arg("condition", ArgKind::OneOf)
        },
        ArgDoc {
            since: "6.2.0",
            optional: true,
            arguments: &[word_arg("gt", "GT"), word_arg("lt", "LT")],
            ..plain_arg("comparison", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("CH", "3.0.2", "change", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("INCR", "3.0.2", "increment", ArgKind::PureToken) },
        ArgDoc {
            multiple: true,
            arguments: &[plain_arg("score", ArgKind::Double), plain_arg("member", ArgKind::String)],
            ..plain_arg("data", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zadd),
};

/// ZINCRBY.
pub static ZINCRBY: Spec = Spec {
    name: "zincrby",
    summary: "Adds to the score of a member of a sorted set; a new member starts at 0.",
    since: "1.2.0",
    complexity: "O(log(N)) where N is the number of elements in the sorted set.",
    group: Group::SortedSet,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("increment", ArgKind::Integer), plain_arg("member", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zincrby),
};

/// What stands before the scores.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::commands) struct Options {
    pub(in crate::commands) nx: bool,
    pub(in crate::commands) xx: bool,
    gt: bool,
    lt: bool,
    /// Whether changed members count as well.
    pub(in crate::commands) changed: bool,
    increment: bool,
}

/// What became of one member.
enum Outcome {
    /// The conditions did not let it pass.
    Held,
    Added(f64),
    Updated(f64),
    /// It had this score already.
    Same(f64),
}

impl Options {
    /// Reads the options; answers where the scores begin.
    fn parse(args: Args<'_>) -> (Options, usize) {
        let mut options = Options::default();
        let mut at = 2;
        while let Some(word) = args.opt(at) {
            match word {
                _ if is_word(word, "NX") => options.nx = true,
                _ if is_word(word, "XX") => options.xx = true,
                _ if is_word(word, "GT") => options.gt = true,
                _ if is_word(word, "LT") => options.lt = true,
                _ if is_word(word, "CH") => options.changed = true,
                _ if is_word(word, "INCR") => options.increment = true,
                _ => break,
            }
            at += 1;
        }
        (options, at)
    }

    fn check(&self, pairs: usize) -> Result<(), Fault> {
        if self.nx && self.xx {
            return Err(Fault::say("ERR XX and NX options at the same time are not compatible"));
        }
        if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            return Err(Fault::say("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increment && pairs > 1 {
            return Err(Fault::say("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    fn is_plain(&self) -> bool {
        !(self.nx || self.xx || self.gt || self.lt || self.increment)
    }
}

fn zadd(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (options, at) = Options::parse(args);
    let rest = args.len() - at;
    if rest == 0 || !rest.is_multiple_of(2) {
        return Err(Fault::Syntax);
    }
    options.check(rest / 2)?;
    let pair = |n: usize| parse_f64(args.slice(at + n * 2)).ok_or(Fault::NotFloat).map(|score| (score, at + n * 2 + 1));
    // All of them are read before anything is changed; mostly there is one, which needs no list.
    let (one, many);
    let members: &[(f64, usize)] = if rest == 2 {
        one = [pair(0)?];
        &one
    } else {
        many = (0..rest / 2).map(pair).collect::<Result<Vec<_>, Fault>>()?;
        &many
    };
    let (added, updated, last) = add_members(cx, args, options, members)?;
    match last {
        Some(score) if options.increment => write_score(out, score),
        None if options.increment => out.null(),
        _ => out.int(if options.changed { added + updated } else { added }),
    }
    Ok(())
}

/// Adds members to the command's first key: scores, and the arguments that the members are. Answers how many
/// were added and updated, and the last one's score, unless the options did not let it pass.
pub(in crate::commands) fn add_members(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    options: Options,
    members: &[(f64, usize)],
) -> Result<(i64, i64, Option<f64>), Fault> {
    let missing = if options.xx { Missing::Skip } else { Missing::Create };
    let key = cx.key(args, 0);
    let done = cx.edit::<ZSet, _>(key, missing, |zset, tools| {
        let (mut added, mut updated, mut last) = (0, 0, None);
        zset.expect(members.iter().map(|&(_, member)| args.slice(member)), &tools.limits, &tools.hasher);
        for &(score, member) in members {
            last = match add(zset, args.slice(member), score, options, tools)? {
                Outcome::Held => None,
                Outcome::Same(score) => Some(score),
                Outcome::Added(score) => {
                    added += 1;
                    Some(score)
                }
                Outcome::Updated(score) => {
                    updated += 1;
                    Some(score)
                }
            };
        }
        let change = if added + updated > 0 { Change::Verbatim } else { Change::None };
        Ok(((added, updated, last), change))
    })?;
    cx.work(members.len() as u64 - 1);
    let (added, updated, last) = done.unwrap_or((0, 0, None));
    if added + updated > 0 {
        cx.notify(Class::SORTED_SET, if options.increment { "zincr" } else { "zadd" }, key);
    }
    Ok((added, updated, last))
}

fn zincrby(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let amount = parse_f64(args.slice(2)).ok_or(Fault::NotFloat)?;
    let options = Options { increment: true, ..Options::default() };
    let key = cx.key(args, 0);
    let done = cx.edit::<ZSet, _>(key, Missing::Create, |zset, tools| {
        match add(zset, args.slice(3), amount, options, tools)? {
            Outcome::Added(score) | Outcome::Updated(score) => Ok(((score, true), Change::Verbatim)),
            Outcome::Same(score) => Ok(((score, false), Change::None)),
            Outcome::Held => Ok(((amount, false), Change::None)),
        }
    })?;
    let (score, changed) = done.unwrap_or((amount, false));
    if changed {
        cx.notify(Class::SORTED_SET, "zincr", key);
    }
    write_score(out, score);
    Ok(())
}

/// Adds one member under the conditions of the options. With [`Options::increment`] an error leaves all as it was.
fn add(zset: &mut ZSet, member: &[u8], score: f64, options: Options, tools: &Tools) -> Result<Outcome, Fault> {
    let Tools { limits, hasher, .. } = tools;
    if options.is_plain() {
        return Ok(match zset.put(member, score, limits, hasher) {
            None => Outcome::Added(score),
            Some(old) if old == score => Outcome::Same(score),
            Some(_) => Outcome::Updated(score),
        });
    }
    let Some(old) = (if zset.is_empty() { None } else { zset.view().score(member, hasher) }) else {
        if options.xx {
            return Ok(Outcome::Held);
        }
        zset.set(member, score, None, limits, hasher);
        return Ok(Outcome::Added(score));
    };
    if options.nx {
        return Ok(Outcome::Held);
    }
    let score = if options.increment { old + score } else { score };
    if score.is_nan() {
        return Err(Fault::say("ERR resulting score is not a number (NaN)"));
    }
    if (options.gt && score <= old) || (options.lt && score >= old) {
        return Ok(Outcome::Held);
    }
    if score == old {
        return Ok(Outcome::Same(score));
    }
    zset.set(member, score, Some(old), limits, hasher);
    Ok(Outcome::Updated(score))
}
