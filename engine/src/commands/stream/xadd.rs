//! XADD: one more entry.

use swell_wire::{Args, Out, OwnedArgs};

use super::xtrim::{Options, push_exact};
use super::{Change, Missing, bulk_id, node_limits};
use crate::commands::grammar::{KEY, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::stream::{AskedId, ENTRY_BYTES_MAX, Stream, StreamId, Until};

/// XADD.
pub static XADD: Spec = Spec {
    name: "xadd",
    summary: "Appends an entry to a stream, which is made if there is none, and trims it if asked to.",
    since: "5.0.0",
    complexity: "O(1) to add an entry; trimming takes O(N) where N is the number of entries that go",
    group: Group::Stream,
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::FAST),
    keys: &[KeySpec {
        notes: "UPDATE instead of INSERT because of the optional trimming feature",
        access: Access::Write,
        flags: &["RW", "update"],
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1 },
    }],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        ArgDoc { token: "NOMKSTREAM", since: "6.2.0", optional: true, ..plain_arg("nomkstream", ArgKind::PureToken) },
        ArgDoc {
            optional: true,
            arguments: &[
                ArgDoc {
                    arguments: &[
                        ArgDoc { token: "MAXLEN", ..plain_arg("maxlen", ArgKind::PureToken) },
                        ArgDoc { token: "MINID", since: "6.2.0", ..plain_arg("minid", ArgKind::PureToken) },
                    ],
                    ..plain_arg("strategy", ArgKind::OneOf)
                },
                ArgDoc {
                    optional: true,
                    arguments: &[
                        ArgDoc { token: "=", ..plain_arg("equal", ArgKind::PureToken) },
                        ArgDoc { token: "~", ..plain_arg("approximately", ArgKind::PureToken) },
                    ],
                    ..plain_arg("operator", ArgKind::OneOf)
                },
                plain_arg("threshold", ArgKind::String),
                ArgDoc { token: "LIMIT", since: "6.2.0", optional: true, ..plain_arg("count", ArgKind::Integer) },
            ],
            ..plain_arg("trim", ArgKind::Block)
        },
        ArgDoc {
            arguments: &[
                ArgDoc { token: "*", ..plain_arg("auto-id", ArgKind::PureToken) },
                plain_arg("id", ArgKind::String),
            ],
            ..plain_arg("id-selector", ArgKind::OneOf)
        },
        ArgDoc {
            multiple: true,
            arguments: &[plain_arg("field", ArgKind::String), plain_arg("value", ArgKind::String)],
            ..plain_arg("data", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xadd),
};

/// What the entry has become, and how many others went for it.
struct Added {
    id: StreamId,
    trimmed: u64,
}

fn xadd(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = Options::parse(args, true)?;
    let arity = Fault::WrongArity("xadd");
    let Some((asked, at)) = options.id else { return Err(arity) };
    let fields = args.from(at + 1);
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(arity);
    }
    if asked == AskedId::Given(StreamId::MIN) {
        return Err(Fault::say("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let missing = if options.no_mkstream { Missing::Skip } else { Missing::Create };
    let key = cx.key(args, 0);
    let added = cx.edit(key, missing, |stream: &mut Box<Stream>, tools| {
        let id = stream.log().new_id(asked, tools.now_ms)?;
        if fields.payload_bytes() > ENTRY_BYTES_MAX {
            return Err(Fault::say("ERR Elements are too large to be stored"));
        }
        let log = stream.log_mut();
        log.append(id, fields, node_limits(tools));
        let trim = options.trim_within(node_limits(tools));
        let trimmed = trim.map_or(0, |trim| log.trim(trim));
        let approximate = trim.filter(|trim| trim.approximate);
        let change = match (asked, approximate) {
            _ if !tools.followed => Change::Whole,
            (AskedId::Given(_), None) => Change::Verbatim,
            (_, None) => Change::Effect(effect(args, id, trim.map(|trim| trim.until), fields)),
            (_, Some(trim)) => Change::Effect(effect(args, id, Some(log.trimmed_until(trim.until)), fields)),
        };
        Ok((Added { id, trimmed }, change))
    })?;
    match added {
        Some(Added { id, trimmed }) => {
            cx.work(trimmed + fields.len() as u64 / 2 - 1);
            cx.notify(Class::STREAM, "xadd", key);
            if trimmed > 0 {
                cx.notify(Class::STREAM, "xtrim", key);
            }
            bulk_id(out, id);
        }
        None => out.null(),
    }
    Ok(())
}

/// The command with the ID that was given, and with an exact trimming.
fn effect(args: Args<'_>, id: StreamId, until: Option<Until>, fields: Args<'_>) -> OwnedArgs {
    let mut effect = OwnedArgs::default();
    effect.push(b"xadd");
    effect.push(args.slice(1));
    if let Some(until) = until {
        push_exact(&mut effect, until);
    }
    effect.push(&id.to_vec());
    fields.iter().for_each(|string| effect.push(string));
    effect
}
