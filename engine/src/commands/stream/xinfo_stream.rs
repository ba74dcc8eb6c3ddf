//! XINFO STREAM: a stream from outside, or all that is in it.

use swell_wire::{Args, Out};

use super::xinfo::progress;
use super::{bulk_id, heads, unknown_form};
use crate::commands::grammar::{KEY, keys_at, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::stream::{Consumer, EntryView, Group as ConsumerGroup, Log, Nack, Stream as Value, StreamId};

/// How many entries, and pending entries of each group and consumer, FULL shows where COUNT does not say it.
const COUNT: i64 = 10;

/// XINFO STREAM.
pub static STREAM: Spec = Spec {
    name: "xinfo|stream",
    summary: "Describes a stream, and with FULL its entries, groups and consumers too.",
    since: "5.0.0",
    complexity: "O(1); with FULL O(N) where N is the number of entries and pending entries answered",
    group: Group::Stream,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            optional: true,
            arguments: &[
                ArgDoc { token: "FULL", ..plain_arg("full", ArgKind::PureToken) },
                ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
            ],
            ..plain_arg("full-block", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(stream),
};

/// A missing key is told before a malformed option.
fn stream(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let value = cx.read(cx.key(args, 0)).ok_or(Fault::NoSuchKey)?.collection::<Value>()?;
    let full = full_count(args)?;
    out.map(if full.is_some() { 9 } else { 10 });
    outline(value.log(), out);
    let shown = match full {
        Some(most) => contents(value, most, out),
        None => edges(value, out),
    };
    cx.work(shown as u64);
    Ok(())
}

/// What FULL shows at most of anything; nothing without FULL.
fn full_count(args: Args<'_>) -> Result<Option<usize>, Fault> {
    let unknown = || unknown_form(args.slice(1), "XINFO");
    let count = match (args.opt(3), args.opt(4), args.opt(5)) {
        (None, ..) => return Ok(None),
        (Some(full), None, _) if is_word(full, "FULL") => COUNT,
        (Some(full), Some(count), Some(number))
            if args.len() == 6 && is_word(full, "FULL") && is_word(count, "COUNT") =>
        {
            parse_i64(number).ok_or(Fault::NotInteger)?
        }
        _ => return Err(unknown()),
    };
    match count {
        ..0 => Ok(Some(COUNT as usize)),
        0 => Ok(Some(usize::MAX)),
        count => Ok(Some(count as usize)),
    }
}

/// Seven pairs.
fn outline(log: &Log, out: &mut Out) {
    out.bulk(b"length");
    out.int(log.len() as i64);
    out.bulk(b"radix-tree-keys");
    out.int(log.nodes_len() as i64);
    out.bulk(b"radix-tree-nodes");
    out.int(log.radix_nodes() as i64);
    out.bulk(b"last-generated-id");
    bulk_id(out, log.last_id);
    out.bulk(b"max-deleted-entry-id");
    bulk_id(out, log.max_deleted_id());
    out.bulk(b"entries-added");
    out.int(log.entries_added as i64);
    out.bulk(b"recorded-first-entry-id");
    bulk_id(out, log.first_id());
}

/// Three pairs: the groups counted, the first entry and the last.
fn edges(value: &Value, out: &mut Out) -> usize {
    out.bulk(b"groups");
    out.int(value.groups().len() as i64);
    let write = |entry: Option<EntryView<'_>>, out: &mut Out| match entry {
        Some(entry) => entry.write(out),
        None => out.null(),
    };
    out.bulk(b"first-entry");
    write(value.log().range(StreamId::MIN, StreamId::MAX).next(), out);
    out.bulk(b"last-entry");
    write(value.log().range_back(StreamId::MIN, StreamId::MAX).next(), out);
    1
}

/// Two pairs: entries and groups, `most` of each kind; returns how many elements that were.
fn contents(value: &Value, most: usize, out: &mut Out) -> usize {
    out.bulk(b"entries");
    let head = heads::array(out);
    let entries = value.log().range(StreamId::MIN, StreamId::MAX).take(most);
    let mut shown = entries.map(|entry| entry.write(out)).count();
    heads::close(out, head, shown);
    out.bulk(b"groups");
    out.array(value.groups().len());
    for (name, group) in value.groups() {
        shown += write_group(value.log(), name, group, most, out);
    }
    shown
}

fn write_group(log: &Log, name: &[u8], group: &ConsumerGroup, most: usize, out: &mut Out) -> usize {
    out.map(7);
    out.bulk(b"name");
    out.bulk(name);
    progress(log, group, out);
    out.bulk(b"pel-count");
    out.int(group.pending_len() as i64);
    out.bulk(b"pending");
    let mut shown = group.pending_len().min(most);
    out.array(shown);
    for (id, nack) in group.pending(StreamId::MIN, StreamId::MAX).take(most) {
        out.array(4);
        bulk_id(out, id);
        out.bulk(group.at(nack.consumer).name());
        write_times(nack, out);
    }
    out.bulk(b"consumers");
    let consumers = group.consumers();
    out.array(consumers.len());
    for (_, consumer) in consumers {
        shown += 1 + write_consumer(group, consumer, most, out);
    }
    shown
}

fn write_consumer(group: &ConsumerGroup, consumer: &Consumer, most: usize, out: &mut Out) -> usize {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    out.bulk(b"seen-time");
    out.int(consumer.seen_ms as i64);
    out.bulk(b"active-time");
    out.int(consumer.active_ms.map_or(-1, |ms| ms as i64));
    out.bulk(b"pel-count");
    out.int(consumer.pending_len() as i64);
    out.bulk(b"pending");
    let shown = consumer.pending_len().min(most);
    out.array(shown);
    for nack in consumer.pending(StreamId::MIN, StreamId::MAX).take(most).filter_map(|id| Some((id, group.nack(id)?))) {
        out.array(3);
        bulk_id(out, nack.0);
        write_times(&nack.1, out);
    }
    shown
}

/// Two elements: when it was delivered, how many times.
fn write_times(nack: &Nack, out: &mut Out) {
    out.int(nack.delivered_ms as i64);
    out.int(nack.count as i64);
}
