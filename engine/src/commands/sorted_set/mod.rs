//! The sorted set family: members with scores, in order of both.

mod aggregate;
mod bzpop;
mod source;
mod zadd;
mod zcard;
mod zcount;
mod zdiff;
mod zinter;
mod zmpop;
mod zpop;
mod zrandmember;
mod zrange;
mod zrangeby;
mod zrank;
mod zrem;
mod zremrange;
mod zscan;
mod zscore;
mod zunion;

pub(super) use zadd::{Options as AddOptions, add_members};

use swell_wire::{Out, Proto};

use crate::double::{DOUBLE_BYTES, format_double};
use crate::error::Fault;
use crate::spec::Spec;
use crate::value::element::Element;
use crate::value::zset::{LexRange, ScoreRange};

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &zmpop::BZMPOP,
    &bzpop::BZPOPMAX,
    &bzpop::BZPOPMIN,
    &zadd::ZADD,
    &zcard::ZCARD,
    &zcount::ZCOUNT,
    &zdiff::ZDIFF,
    &zdiff::ZDIFFSTORE,
    &zadd::ZINCRBY,
    &zinter::ZINTER,
    &zinter::ZINTERCARD,
    &zinter::ZINTERSTORE,
    &zcount::ZLEXCOUNT,
    &zmpop::ZMPOP,
    &zscore::ZMSCORE,
    &zpop::ZPOPMAX,
    &zpop::ZPOPMIN,
    &zrandmember::ZRANDMEMBER,
    &zrange::ZRANGE,
    &zrangeby::ZRANGEBYLEX,
    &zrangeby::ZRANGEBYSCORE,
    &zrange::ZRANGESTORE,
    &zrank::ZRANK,
    &zrem::ZREM,
    &zremrange::ZREMRANGEBYLEX,
    &zremrange::ZREMRANGEBYRANK,
    &zremrange::ZREMRANGEBYSCORE,
    &zrange::ZREVRANGE,
    &zrangeby::ZREVRANGEBYLEX,
    &zrangeby::ZREVRANGEBYSCORE,
    &zrank::ZREVRANK,
    &zscan::ZSCAN,
    &zscore::ZSCORE,
    &zunion::ZUNION,
    &zunion::ZUNIONSTORE,
];

/// What is said where a range of scores was expected.
pub(super) const NOT_A_RANGE: Fault = Fault::say("ERR min or max is not a float");
const NOT_A_LEX_RANGE: Fault = Fault::say("ERR min or max not valid string range item");

pub(super) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, Fault> {
    ScoreRange::parse(min, max).ok_or(NOT_A_RANGE)
}

pub(super) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, Fault> {
    LexRange::parse(min, max).ok_or(NOT_A_LEX_RANGE)
}

/// Answers a score.
#[inline]
pub(super) fn write_score(out: &mut Out, score: f64) {
    out.double(format_double(score, &mut [0; DOUBLE_BYTES]));
}

/// Answers `count` members, each with its score if asked for: pairs in RESP3, one flat array before.
pub(super) fn write_members<'a>(
    members: impl Iterator<Item = (Element<'a>, f64)>,
    count: usize,
    with_scores: bool,
    out: &mut Out,
) {
    write_head(count, with_scores, out);
    members.take(count).for_each(|member| write_member(member, with_scores, out));
}

/// The head of what [`write_member`] writes `count` times.
pub(super) fn write_head(count: usize, with_scores: bool, out: &mut Out) {
    let flat = with_scores && out.proto() == Proto::Resp2;
    out.array(if flat { count * 2 } else { count });
}

/// One of the members of [`write_members`].
#[inline]
pub(super) fn write_member((member, score): (Element<'_>, f64), with_scores: bool, out: &mut Out) {
    if with_scores && out.proto() == Proto::Resp3 {
        out.array(2);
    }
    member.write(out);
    if with_scores {
        write_score(out, score);
    }
}
