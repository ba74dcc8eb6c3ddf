//! XREADGROUP: entries are delivered to a consumer of a group, or shown to it again.

use swell_wire::{Args, Out};

use super::effect::{self, Read, Touched};
use super::xread::{OPTIONS, Options, Streams, wait};
use super::{Change, Missing, heads, no_group, told};
use crate::commands::grammar::{KEY, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply, Tools};
use crate::notify::Class;
use crate::spec::*;
use crate::value::stream::{Group as ConsumerGroup, Log, Stream, StreamId};

/// XREADGROUP.
pub static XREADGROUP: Spec = Spec {
    name: "xreadgroup",
    summary: "Reads entries of streams as a consumer of a group.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries answered",
    group: Group::Stream,
    arity: -7,
    flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[KeySpec {
        notes: "",
        access: Access::Write,
        flags: &["RO", "access"],
        begin: Begin::Option { word: "STREAMS", from: 4, takes: OPTIONS, shown: true },
        find: Find::Part { of: 2, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        ArgDoc {
            token: "GROUP",
            arguments: &[plain_arg("group", ArgKind::String), plain_arg("consumer", ArgKind::String)],
            ..plain_arg("group-block", ArgKind::Block)
        },
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
        ArgDoc { token: "BLOCK", optional: true, ..plain_arg("milliseconds", ArgKind::Integer) },
        ArgDoc { token: "NOACK", optional: true, ..plain_arg("noack", ArgKind::PureToken) },
        ArgDoc {
            token: "STREAMS",
            arguments: &[
                ArgDoc { multiple: true, ..KEY },
                ArgDoc { multiple: true, ..plain_arg("id", ArgKind::String) },
            ],
            ..plain_arg("streams", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xreadgroup),
};

/// What is read of one stream.
#[derive(Clone, Copy)]
enum From {
    /// `>`: what was not delivered yet.
    New,
    /// What the consumer has yet to acknowledge, after this ID.
    Pending(StreamId),
}

/// Everything is checked for all streams before the first one is changed.
fn xreadgroup(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let options = Options::parse(args, true, cx.now_ms())?;
    let Some((group, consumer)) = options.group else { return Err(Fault::Syntax) };
    options.check_keys(cx, args)?;
    let mut from = Vec::with_capacity(options.keys);
    for index in 0..options.keys {
        from.push(where_to_begin(cx, args, &options, index)?);
    }
    let mut streams = Streams::begin();
    let mut read = 0;
    for (index, from) in from.into_iter().enumerate() {
        let key = cx.key(args, index);
        let edited = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, tools| {
            let done = stream.edit_group(group, |log, group| {
                let reader = Reader { key: key.bytes, options: &options, consumer, tools };
                reader.read(log, group, from, &mut streams, out)
            });
            done.ok_or_else(|| no_group(key.bytes, group, ""))
        })?;
        let (here, is_new) = edited.unwrap_or((0, false));
        if is_new {
            cx.notify(Class::STREAM, "xgroup-createconsumer", key);
        }
        read += here;
    }
    if let Some(timeout) = options.block.filter(|_| streams.is_empty())
        && wait(cx, &options, None, timeout)
    {
        return Ok(());
    }
    streams.end(out);
    cx.work(read.saturating_sub(1));
    Ok(())
}

/// Reads one stream.
struct Reader<'a> {
    key: &'a [u8],
    options: &'a Options<'a>,
    consumer: &'a [u8],
    tools: &'a Tools,
}

impl Reader<'_> {
    /// Answers how many entries were read, and whether the consumer is a new one.
    fn read(
        &self,
        log: &Log,
        group: &mut ConsumerGroup,
        from: From,
        streams: &mut Streams,
        out: &mut Out,
    ) -> ((u64, bool), Change) {
        let (consumer, is_new) = group.find_or_add(self.consumer, self.tools.now_ms);
        group.saw(consumer, self.tools.now_ms);
        let mut touched = Touched::default();
        let (read, kind) = match from {
            From::New => (self.deliver(log, group, consumer, &mut touched, streams, out), Read::Delivered),
            From::Pending(after) => {
                (self.show_again(log, group, consumer, after, &mut touched, streams, out), Read::ShownAgain)
            }
        };
        let name = self.options.group.map_or(&b""[..], |(group, _)| group);
        let now_ms = self.tools.now_ms;
        let change = told(self.tools, || effect::of_read(self.key, name, group, consumer, kind, now_ms, &touched));
        ((read as u64, is_new), change)
    }

    fn deliver(
        &self,
        log: &Log,
        group: &mut ConsumerGroup,
        consumer: u32,
        touched: &mut Touched,
        streams: &mut Streams,
        out: &mut Out,
    ) -> usize {
        let Options { count, no_ack, .. } = *self.options;
        if log.top_id().is_none_or(|top| top <= group.last_id) {
            return 0;
        }
        streams.stream(self.key, out);
        let head = heads::array(out);
        let read = log.deliver(group, consumer, count, no_ack, self.tools.now_ms, |entry| {
            if !no_ack {
                touched.push(entry.id);
            }
            entry.write(out);
        });
        heads::close(out, head, read as usize);
        read as usize
    }

    #[allow(clippy::too_many_arguments)] // The stream, the group, the consumer, and what is written.
    fn show_again(
        &self,
        log: &Log,
        group: &mut ConsumerGroup,
        consumer: u32,
        after: StreamId,
        touched: &mut Touched,
        streams: &mut Streams,
        out: &mut Out,
    ) -> usize {
        streams.stream(self.key, out);
        let head = heads::array(out);
        let mut shown = 0;
        if let Some(from) = after.next() {
            log.show_again(group, consumer, from, self.options.count, self.tools.now_ms, |id, entry| {
                shown += 1;
                match entry {
                    Some(entry) => {
                        touched.push(id);
                        entry.write(out);
                    }
                    None => {
                        out.array(2);
                        super::bulk_id(out, id);
                        out.null_array();
                    }
                }
            });
        }
        heads::close(out, head, shown);
        shown
    }
}

fn where_to_begin(cx: &mut Exec<'_>, args: Args<'_>, options: &Options<'_>, index: usize) -> Result<From, Fault> {
    let key = cx.key(args, index);
    let Some((group, _)) = options.group else { return Err(Fault::Syntax) };
    let entry = cx.read(key);
    let stream = entry.map(|entry| entry.collection::<Stream>()).transpose()?;
    if stream.is_none_or(|stream| stream.group(group).is_none()) {
        return Err(no_group(key.bytes, group, " in XREADGROUP with GROUP option"));
    }
    match options.id(args, index) {
        b"$" => Err(meaningless('$')),
        b"+" => Err(meaningless('+')),
        b">" => Ok(From::New),
        // The highest ID of all is the same as the sign.
        id => match StreamId::parse(id, 0)? {
            StreamId::MAX => Ok(From::New),
            id => Ok(From::Pending(id)),
        },
    }
}

fn meaningless(sign: char) -> Fault {
    let text = format!(
        "ERR The {sign} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
         specifying a proper ID, or use the > ID to get new messages. The {sign} ID would just return an empty result \
         set."
    );
    Fault::Other(text.into())
}
