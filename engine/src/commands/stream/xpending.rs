//! XPENDING: what a group has yet to acknowledge.

use swell_wire::{Args, Out};

use super::{bulk_id, heads, no_group};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::stream::{Group as ConsumerGroup, Nack, Stream, StreamId};

/// XPENDING.
pub static XPENDING: Spec = Spec {
    name: "xpending",
    summary: "Describes the entries that a group has yet to acknowledge, or lists them.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries looked at; the summary takes O(N) where N is the number of consumers",
    group: Group::Stream,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("group", ArgKind::String),
        ArgDoc {
            optional: true,
            arguments: &[
                ArgDoc {
                    token: "IDLE",
                    since: "6.2.0",
                    optional: true,
                    ..plain_arg("min-idle-time", ArgKind::Integer)
                },
                plain_arg("start", ArgKind::String),
                plain_arg("end", ArgKind::String),
                plain_arg("count", ArgKind::Integer),
                ArgDoc { optional: true, ..plain_arg("consumer", ArgKind::String) },
            ],
            ..plain_arg("filters", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xpending),
};

/// What the long form lists.
struct Filter<'a> {
    min_idle_ms: i64,
    from: StreamId,
    to: StreamId,
    most: u64,
    consumer: Option<&'a [u8]>,
}

fn xpending(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let filter = if args.len() == 3 { None } else { Some(Filter::parse(args)?) };
    let (key, now_ms) = (cx.key(args, 0), cx.now_ms());
    let entry = cx.read(key);
    let stream = entry.map(|entry| entry.collection::<Stream>()).transpose()?;
    let group = stream.and_then(|stream| stream.group(args.slice(2)));
    let group = group.ok_or_else(|| no_group(args.slice(1), args.slice(2), ""))?;
    let visited = match filter {
        None => summary(group, out),
        Some(filter) => list(group, &filter, now_ms, out),
    };
    cx.work(visited.saturating_sub(1));
    Ok(())
}

impl Filter<'_> {
    /// The count is read before the IDs.
    fn parse(args: Args<'_>) -> Result<Filter<'_>, Fault> {
        if !(6..=9).contains(&args.len()) {
            return Err(Fault::Syntax);
        }
        let (mut at, mut min_idle_ms) = (3, 0);
        if is_word(args.slice(3), "IDLE") {
            min_idle_ms = parse_i64(args.slice(4)).ok_or(Fault::NotInteger)?;
            at = 5;
            if args.len() < 8 {
                return Err(Fault::Syntax);
            }
        }
        let most = parse_i64(args.slice(at + 2)).ok_or(Fault::NotInteger)?;
        Ok(Filter {
            min_idle_ms,
            from: StreamId::parse_start(args.slice(at))?,
            to: StreamId::parse_end(args.slice(at + 1))?,
            most: most.max(0) as u64,
            consumer: args.opt(at + 3),
        })
    }
}

/// Answers how many wait, the lowest and the highest ID, and how many wait for each consumer.
fn summary(group: &ConsumerGroup, out: &mut Out) -> u64 {
    out.array(4);
    out.int(group.pending_len() as i64);
    let Some((first, last)) = group.pending_ends() else {
        out.null();
        out.null();
        out.null_array();
        return 1;
    };
    bulk_id(out, first);
    bulk_id(out, last);
    let busy = || group.consumers().filter(|(_, consumer)| consumer.pending_len() > 0);
    out.array(busy().count());
    for (_, consumer) in busy() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending_len() as i64);
    }
    group.consumers().len() as u64
}

/// Answers entry by entry; returns how many were looked at.
fn list(group: &ConsumerGroup, filter: &Filter<'_>, now_ms: u64, out: &mut Out) -> u64 {
    let head = heads::array(out);
    let (mut visited, mut written) = (0, 0);
    let mut visit = |id: StreamId, nack: &Nack| {
        if written == filter.most {
            return false;
        }
        visited += 1;
        let idle_ms = now_ms.saturating_sub(nack.delivered_ms) as i64;
        if idle_ms >= filter.min_idle_ms {
            out.array(4);
            bulk_id(out, id);
            out.bulk(group.at(nack.consumer).name());
            out.int(idle_ms);
            out.int(nack.count as i64);
            written += 1;
        }
        true
    };
    match filter.consumer.map(|name| group.find(name)) {
        None => {
            let _ = group.pending(filter.from, filter.to).all(|(id, nack)| visit(id, nack));
        }
        Some(None) => {}
        Some(Some(place)) => {
            let mut ids = group.at(place).pending(filter.from, filter.to);
            let _ = ids.all(|id| group.nack(id).is_none_or(|nack| visit(id, &nack)));
        }
    }
    heads::close(out, head, written as usize);
    visited
}
