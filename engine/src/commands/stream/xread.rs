//! XREAD, and what its arguments and answers have in common with XREADGROUP's.

use swell_wire::{Args, Out, OwnedArgs, Proto};

use super::heads;
use crate::commands::blocking::Timeout;
use crate::commands::grammar::{KEY, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::Kind;
use crate::value::stream::{ID_TEXT_BYTES_MAX, Stream, StreamId};
use crate::waiters::Wait;

/// XREAD.
pub static XREAD: Spec = Spec {
    name: "xread",
    summary: "Reads the entries of streams that come after given IDs.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries answered",
    group: Group::Stream,
    arity: -4,
    flags: Flags::READONLY.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[KeySpec {
        notes: "",
        access: Access::Read,
        flags: &["RO", "access"],
        begin: Begin::Option { word: "STREAMS", from: 1, takes: OPTIONS, shown: true },
        find: Find::Part { of: 2, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
        ArgDoc { token: "BLOCK", optional: true, ..plain_arg("milliseconds", ArgKind::Integer) },
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
    body: Body::Keys(xread),
};

/// How many arguments options take; behind STREAMS there are no more options.
pub(super) const OPTIONS: &[(&str, usize)] = &[("BLOCK", 1), ("COUNT", 1), ("GROUP", 2), ("STREAMS", usize::MAX / 2)];

/// The options before the keys.
pub(super) struct Options<'a> {
    /// Entries per stream at most; 0 for any number.
    pub count: u64,
    pub no_ack: bool,
    /// For how long to wait for entries, if at all.
    pub block: Option<Timeout>,
    /// Group and consumer.
    pub group: Option<(&'a [u8], &'a [u8])>,
    /// The argument of the first key.
    pub keys_at: usize,
    /// Number of keys.
    pub keys: usize,
}

/// An answer of streams with their entries, which is a null while there are none.
pub(super) struct Streams {
    head: Option<heads::Head>,
    count: usize,
}

fn xread(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = Options::parse(args, false, cx.now_ms())?;
    options.check_keys(cx, args)?;
    let mut after = Vec::with_capacity(options.keys);
    for index in 0..options.keys {
        after.push(id_to_read_after(cx, args, &options, index)?);
    }
    let mut streams = Streams::begin();
    let mut read = 0;
    for (index, &after) in after.iter().enumerate() {
        read += read_one(cx, args, &options, index, after, &mut streams, out)?;
    }
    if let Some(timeout) = options.block.filter(|_| streams.is_empty())
        && wait(cx, &options, Some(with_ids(args, &options, &after)), timeout)
    {
        return Ok(());
    }
    streams.end(out);
    cx.work(read.saturating_sub(1));
    Ok(())
}

impl<'a> Options<'a> {
    /// Reads them, up to the keys.
    ///
    /// # Errors
    /// Syntax; numbers that are none; what belongs to the other command.
    pub fn parse(args: Args<'a>, is_group: bool, now_ms: u64) -> Result<Options<'a>, Fault> {
        let mut options = Options { count: 0, no_ack: false, block: None, group: None, keys_at: 0, keys: 0 };
        let mut at = 1;
        while at < args.len() && options.keys_at == 0 {
            at += options.parse_one(args, at, is_group, now_ms)?;
        }
        if options.keys_at == 0 {
            return Err(Fault::Syntax);
        }
        if is_group && options.group.is_none() {
            return Err(Fault::say("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }

    /// Refuses a call whose keys were not found where they are: a group that is named like an option.
    ///
    /// # Errors
    /// Syntax.
    pub fn check_keys(&self, cx: &Exec<'_>, args: Args<'a>) -> Result<(), Fault> {
        let found = |index| cx.key(args, index).bytes == args.slice(self.keys_at + index);
        if cx.keys_len() == self.keys && (0..self.keys).all(found) { Ok(()) } else { Err(Fault::Syntax) }
    }

    /// The key's ID argument.
    pub fn id(&self, args: Args<'a>, index: usize) -> &'a [u8] {
        args.slice(self.keys_at + self.keys + index)
    }

    /// Reads the option at `at`; returns how many arguments it has.
    fn parse_one(&mut self, args: Args<'a>, at: usize, is_group: bool, now_ms: u64) -> Result<usize, Fault> {
        let (word, value) = (args.slice(at), args.opt(at + 1));
        match (value, args.opt(at + 2)) {
            (Some(value), _) if is_word(word, "BLOCK") => {
                self.block = Some(Timeout::millis(value, now_ms)?);
                Ok(2)
            }
            (Some(value), _) if is_word(word, "COUNT") => {
                self.count = parse_i64(value).ok_or(Fault::NotInteger)?.max(0) as u64;
                Ok(2)
            }
            (Some(_), _) if is_word(word, "STREAMS") => {
                self.keys_at = at + 1;
                self.keys = (args.len() - self.keys_at) / 2;
                let is_even = (args.len() - self.keys_at).is_multiple_of(2);
                if is_even { Ok(1) } else { Err(unbalanced(is_group)) }
            }
            (Some(group), Some(consumer)) if is_word(word, "GROUP") => {
                self.group = Some((group, consumer));
                if is_group { Ok(3) } else { Err(not_for_xread("GROUP")) }
            }
            _ if is_word(word, "NOACK") => {
                self.no_ack = true;
                if is_group { Ok(1) } else { Err(not_for_xread("NOACK")) }
            }
            _ => Err(Fault::Syntax),
        }
    }
}

impl Streams {
    /// An answer without a stream so far.
    pub fn begin() -> Streams {
        Streams { head: None, count: 0 }
    }

    /// Begins the part of one stream; its entries, an array, are to follow.
    pub fn stream(&mut self, key: &[u8], out: &mut Out) {
        if self.head.is_none() {
            self.head = Some(if out.proto() == Proto::Resp3 { heads::map(out) } else { heads::array(out) });
        }
        self.count += 1;
        if out.proto() == Proto::Resp2 {
            out.array(2);
        }
        out.bulk(key);
    }

    /// Whether no stream has had anything so far.
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Ends the answer.
    pub fn end(self, out: &mut Out) {
        match self.head {
            Some(head) => heads::close(out, head, self.count),
            None => out.null_array(),
        }
    }
}

/// What the ID argument means: `$` is the last ID, `+` the one before it.
fn id_to_read_after(cx: &mut Exec<'_>, args: Args<'_>, options: &Options<'_>, index: usize) -> Result<StreamId, Fault> {
    let entry = cx.read(cx.key(args, index));
    let stream = entry.map(|entry| entry.collection::<Stream>()).transpose()?;
    let last_id = stream.map_or(StreamId::MIN, |stream| stream.log().last_id);
    match options.id(args, index) {
        b"$" => Ok(last_id),
        b"+" => Ok(last_id.previous().unwrap_or_default()),
        b">" => Err(Fault::say(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        id => StreamId::parse(id, 0),
    }
}

/// Answers one stream, if it has something to read; returns how many entries that were.
fn read_one(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    options: &Options<'_>,
    index: usize,
    after: StreamId,
    streams: &mut Streams,
    out: &mut Out,
) -> Result<u64, Fault> {
    let key = cx.key(args, index);
    let Some(entry) = cx.peek(key) else {
        cx.notify(Class::MISS, "keymiss", key);
        return Ok(0);
    };
    let log = entry.collection::<Stream>()?.log();
    if log.top_id().is_none_or(|top| top <= after) {
        return Ok(0);
    }
    let Some(from) = after.next() else { return Ok(0) };
    let most = if options.count == 0 { usize::MAX } else { options.count as usize };
    streams.stream(key.bytes, out);
    let head = heads::array(out);
    let read = log.range(from, StreamId::MAX).take(most).map(|entry| entry.write(out)).count();
    heads::close(out, head, read);
    Ok(read as u64)
}

/// Waits until one of the streams may have something, if that is allowed. `args`: what to run with then.
pub(super) fn wait(cx: &mut Exec<'_>, options: &Options<'_>, args: Option<OwnedArgs>, timeout: Timeout) -> bool {
    let (keys, deadline_ms) = (options.keys, timeout.deadline_ms());
    cx.block(Wait { kind: Kind::Stream, keys, on_missing: options.group.is_some(), args, deadline_ms })
}

/// The same request with IDs that mean the same when it runs again.
fn with_ids(args: Args<'_>, options: &Options<'_>, after: &[StreamId]) -> OwnedArgs {
    let mut owned = OwnedArgs::default();
    let ids_at = options.keys_at + options.keys;
    args.iter().take(ids_at).for_each(|arg| owned.push(arg));
    after.iter().for_each(|id| owned.push(id.format(&mut [0; ID_TEXT_BYTES_MAX])));
    owned
}

fn unbalanced(is_group: bool) -> Fault {
    let (name, ids) = if is_group { ("xreadgroup", "an ID or '>'") } else { ("xread", "an ID or '$'") };
    Fault::Other(
        format!("ERR Unbalanced '{name}' list of streams: for each stream key {ids} must be specified.").into(),
    )
}

fn not_for_xread(option: &'static str) -> Fault {
    Fault::Other(format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.").into())
}
