//! XGROUP CREATE, CREATECONSUMER, DELCONSUMER, DESTROY, HELP, SETID: managing consumer groups.

use swell_wire::{Args, Out, OwnedArgs};

use super::{Change, Missing};
use crate::commands::grammar::{KEY, keys_at, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::stream::{Group as ConsumerGroup, Stream, StreamId};

const NO_KEY: Fault = Fault::say(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
     option to create an empty stream automatically.",
);

/// As many lines as the real server has: transcripts compare their number.
const HELP_LINES: &[&str] = &[
    "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CREATE <key> <groupname> <id|$> [option]",
    "    Make a group that has read up to <id>. Options are:",
    "    * MKSTREAM",
    "      Make an empty stream too if <key> is not there.",
    "    * ENTRIESREAD entries_read",
    "      Say how many entries the group has read so far.",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Make a consumer in a group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Delete a consumer and what it has yet to acknowledge.",
    "DESTROY <key> <groupname>",
    "    Delete a group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set what a group has read.",
    "HELP",
    "    Show these lines.",
];

/// XGROUP.
pub static XGROUP: Spec = Spec {
    name: "xgroup",
    summary: "Container for commands that manage consumer groups.",
    since: "5.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Stream,
    arity: -2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

/// XGROUP CREATE.
pub static CREATE: Spec = Spec {
    name: "xgroup|create",
    summary: "Makes a consumer group.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("group", ArgKind::String),
        ArgDoc {
            arguments: &[
                plain_arg("id", ArgKind::String),
                ArgDoc { token: "$", ..plain_arg("new-id", ArgKind::PureToken) },
            ],
            ..plain_arg("id-selector", ArgKind::OneOf)
        },
        ArgDoc { token: "MKSTREAM", optional: true, ..plain_arg("mkstream", ArgKind::PureToken) },
        ArgDoc { token: "ENTRIESREAD", optional: true, ..plain_arg("entriesread", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(create),
};

/// XGROUP CREATECONSUMER.
pub static CREATECONSUMER: Spec = Spec {
    name: "xgroup|createconsumer",
    summary: "Makes a consumer in a group.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: 5,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("group", ArgKind::String), plain_arg("consumer", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(createconsumer),
};

/// XGROUP DELCONSUMER.
pub static DELCONSUMER: Spec = Spec {
    name: "xgroup|delconsumer",
    summary: "Deletes a consumer from a group, with what it has yet to acknowledge.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries that the consumer has yet to acknowledge",
    group: Group::Stream,
    arity: 5,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("group", ArgKind::String), plain_arg("consumer", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(delconsumer),
};

/// XGROUP DESTROY.
pub static DESTROY: Spec = Spec {
    name: "xgroup|destroy",
    summary: "Deletes a consumer group.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries that wait to be acknowledged",
    group: Group::Stream,
    arity: 4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("group", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(destroy),
};

/// XGROUP HELP.
pub static HELP: Spec = Spec {
    name: "xgroup|help",
    summary: "Lists the subcommands of XGROUP.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::STREAM.and(Acl::SLOW),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(help),
};

/// XGROUP SETID.
pub static SETID: Spec = Spec {
    name: "xgroup|setid",
    summary: "Sets the last entry that a group counts as delivered.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: -5,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("group", ArgKind::String),
        ArgDoc {
            arguments: &[
                plain_arg("id", ArgKind::String),
                ArgDoc { token: "$", ..plain_arg("new-id", ArgKind::PureToken) },
            ],
            ..plain_arg("id-selector", ArgKind::OneOf)
        },
        ArgDoc { token: "ENTRIESREAD", optional: true, ..plain_arg("entriesread", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(setid),
};

/// The options of CREATE and SETID.
struct Options {
    mkstream: bool,
    entries_read: Option<i64>,
}

/// Where a group has read to.
#[derive(Clone, Copy)]
enum ReadTo {
    /// `$`: the last ID of the stream.
    End,
    Id(StreamId),
}

/// The options are read before the key is looked up, the ID after that.
fn create(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = Options::parse(args, true)?;
    let (key, name) = (cx.key(args, 0), args.slice(3));
    if !options.mkstream && cx.peek(key).is_none() {
        return Err(NO_KEY);
    }
    if cx.peek(key).is_some() {
        cx.change_aside();
    }
    cx.edit(key, Missing::Create, |stream: &mut Box<Stream>, _| {
        let last_id = ReadTo::parse(args.slice(4), StreamId::parse)?.id(stream);
        if !stream.add_group(name, ConsumerGroup::new(last_id, options.entries_read)) {
            return Err(Fault::say("BUSYGROUP Consumer Group name already exists"));
        }
        let mut effect = effect(b"create", args, last_id);
        if options.mkstream {
            effect.push(b"mkstream");
        }
        push_entries_read(&mut effect, options.entries_read);
        Ok(((), Change::Effect(effect)))
    })?;
    cx.notify(Class::STREAM, "xgroup-create", key);
    out.ok();
    Ok(())
}

fn setid(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let options = Options::parse(args, false)?;
    edit(cx, args, |stream| {
        let last_id = ReadTo::parse(args.slice(4), StreamId::parse_open)?.id(stream);
        stream.edit_group(args.slice(3), |_, group| {
            group.last_id = last_id;
            group.entries_read = options.entries_read;
        });
        let mut effect = effect(b"setid", args, last_id);
        push_entries_read(&mut effect, options.entries_read);
        Ok(((), Change::Effect(effect)))
    })?;
    cx.notify(Class::STREAM, "xgroup-setid", cx.key(args, 0));
    out.ok();
    Ok(())
}

/// Where a key is missing, that is told as for the others.
fn destroy(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let destroyed = cx.edit(cx.key(args, 0), Missing::Skip, |stream: &mut Box<Stream>, _| {
        let pending = stream.group(args.slice(3)).map_or(0, ConsumerGroup::pending_len);
        let was_there = stream.remove_group(args.slice(3));
        Ok(((was_there, pending), if was_there { Change::Verbatim } else { Change::None }))
    })?;
    let (was_there, pending) = destroyed.ok_or(NO_KEY)?;
    cx.work(pending as u64);
    if was_there {
        cx.notify(Class::STREAM, "xgroup-destroy", cx.key(args, 0));
    }
    out.int(was_there.into());
    Ok(())
}

fn createconsumer(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let now_ms = cx.now_ms();
    let is_new = edit(cx, args, |stream| {
        let added = stream.edit_group(args.slice(3), |_, group| {
            let (consumer, is_new) = group.find_or_add(args.slice(4), now_ms);
            (is_new, super::effect::of_consumer(args.from(1), group, consumer))
        });
        let (is_new, effect) = added.ok_or_else(|| no_group(args))?;
        Ok((is_new, if is_new { Change::Effect(effect) } else { Change::None }))
    })?;
    if is_new {
        cx.notify(Class::STREAM, "xgroup-createconsumer", cx.key(args, 0));
    }
    out.int(is_new.into());
    Ok(())
}

fn delconsumer(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let removed = edit(cx, args, |stream| {
        let removed = stream.edit_group(args.slice(3), |_, group| group.remove(args.slice(4))).flatten();
        Ok((removed, if removed.is_some() { Change::Verbatim } else { Change::None }))
    })?;
    if removed.is_some() {
        cx.notify(Class::STREAM, "xgroup-delconsumer", cx.key(args, 0));
    }
    let pending = removed.unwrap_or(0);
    cx.work(pending as u64);
    out.int(pending as i64);
    Ok(())
}

/// Needs no lock, but a body without keys runs under all of them.
fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    out.array(HELP_LINES.len());
    HELP_LINES.iter().for_each(|line| out.simple(line));
    Ok(())
}

impl Options {
    fn parse(args: Args<'_>, is_create: bool) -> Result<Options, Fault> {
        let mut options = Options { mkstream: false, entries_read: None };
        let mut at = 5;
        while at < args.len() {
            match args.opt(at + 1) {
                _ if is_create && is_word(args.slice(at), "MKSTREAM") => {
                    options.mkstream = true;
                    at += 1;
                }
                Some(number) if is_word(args.slice(at), "ENTRIESREAD") => {
                    options.entries_read = entries_read(number)?;
                    at += 2;
                }
                _ => return Err(super::unknown_form(args.slice(1), "XGROUP")),
            }
        }
        // The command's form is checked once more, by how many arguments it can have.
        let most = if is_create { 8 } else { 7 };
        if args.len() <= most { Ok(options) } else { Err(super::unknown_form(args.slice(1), "XGROUP")) }
    }
}

impl ReadTo {
    fn parse(arg: &[u8], parse: fn(&[u8], u64) -> Result<StreamId, Fault>) -> Result<ReadTo, Fault> {
        if arg == b"$" { Ok(ReadTo::End) } else { parse(arg, 0).map(ReadTo::Id) }
    }

    fn id(self, stream: &Stream) -> StreamId {
        match self {
            ReadTo::End => stream.log().last_id,
            ReadTo::Id(id) => id,
        }
    }
}

/// Changes a stream whose group must be there.
fn edit<R>(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    change: impl FnOnce(&mut Stream) -> Result<(R, Change), Fault>,
) -> Result<R, Fault> {
    let edited = cx.edit(cx.key(args, 0), Missing::Skip, |stream: &mut Box<Stream>, _| {
        if stream.group(args.slice(3)).is_none() {
            return Err(no_group(args));
        }
        change(stream)
    })?;
    edited.ok_or(NO_KEY)
}

fn entries_read(number: &[u8]) -> Result<Option<i64>, Fault> {
    match parse_i64(number).ok_or(Fault::NotInteger)? {
        -1 => Ok(None),
        ..-1 => Err(Fault::say("ERR value for ENTRIESREAD must be positive or -1")),
        read => Ok(Some(read)),
    }
}

/// The subcommand with the ID that its argument has meant.
fn effect(subcommand: &[u8], args: Args<'_>, last_id: StreamId) -> OwnedArgs {
    OwnedArgs::from_slices(&[b"xgroup", subcommand, args.slice(2), args.slice(3), &last_id.to_vec()])
}

fn push_entries_read(effect: &mut OwnedArgs, read: Option<i64>) {
    effect.push(b"entriesread");
    effect.push(read.unwrap_or(-1).to_string().as_bytes());
}

fn no_group(args: Args<'_>) -> Fault {
    super::no_such_group(args.slice(2), args.slice(3))
}
