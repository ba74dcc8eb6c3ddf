//! XRANGE, XREVRANGE: the entries between two IDs.

use swell_wire::{Args, Out};

use super::heads;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::slices;
use crate::spec::*;
use crate::value::stream::{Stream, StreamId};

/// XRANGE.
pub static XRANGE: Spec = Spec {
    name: "xrange",
    summary: "Lists the entries of a stream between two IDs.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries answered",
    group: Group::Stream,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("start", ArgKind::String),
        plain_arg("end", ArgKind::String),
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xrange),
};

/// XREVRANGE.
pub static XREVRANGE: Spec = Spec {
    name: "xrevrange",
    summary: "Lists the entries of a stream between two IDs, the highest first.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries answered",
    group: Group::Stream,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("end", ArgKind::String),
        plain_arg("start", ArgKind::String),
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xrevrange),
};

fn xrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let from = StreamId::parse_start(args.slice(2))?;
    let to = StreamId::parse_end(args.slice(3))?;
    range(cx, args, out, from, to, false)
}

/// The start is read before the end here too, though it comes after it.
fn xrevrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let from = StreamId::parse_start(args.slice(3))?;
    let to = StreamId::parse_end(args.slice(2))?;
    range(cx, args, out, from, to, true)
}

/// COUNT is read before the key is looked up. A count of zero is answered with a null where the key is there.
fn range(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, mut from: StreamId, mut to: StreamId, back: bool) -> Reply {
    let most = count(args)?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.array(0);
        return Ok(());
    };
    entry.collection::<Stream>()?;
    if most == Some(0) {
        out.null_array();
        return Ok(());
    }
    let mut left = most.unwrap_or(usize::MAX);
    let (mark, head) = (out.mark(), heads::array(out));
    let (written, rest) = slices::counted::<Stream>(&entry, Out::array, out, move |stream, room, out| {
        let log = stream.log();
        let mut entries = if back { log.range_back(from, to) } else { log.range(from, to) }.take(left);
        let mut last = None;
        let written = room.fill(&mut entries, out, |entry, out| {
            last = Some(entry.id);
            entry.write(out);
        });
        let more = entries.next().is_some();
        left -= written;
        match last {
            Some(last) if back => to = last.previous().unwrap_or(last),
            Some(last) => from = last.next().unwrap_or(last),
            None => {}
        }
        (written, more)
    });
    match rest {
        None => {
            heads::close(out, head, written);
            cx.work(written.saturating_sub(1) as u64);
        }
        Some(_) => {
            out.truncate(mark);
            cx.defer(rest);
        }
    }
    Ok(())
}

/// The last COUNT that is given; below zero it is zero.
fn count(args: Args<'_>) -> Result<Option<usize>, Fault> {
    let mut most = None;
    let mut at = 4;
    while at < args.len() {
        let number = args.opt(at + 1).filter(|_| is_word(args.slice(at), "COUNT")).ok_or(Fault::Syntax)?;
        most = Some(parse_i64(number).ok_or(Fault::NotInteger)?.max(0) as usize);
        at += 2;
    }
    Ok(most)
}
