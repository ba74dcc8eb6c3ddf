//! XSETID: a stream's last ID and its counters.

use swell_wire::{Args, Out};

use super::{Change, Missing};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::stream::{Stream, StreamId};

/// XSETID.
pub static XSETID: Spec = Spec {
    name: "xsetid",
    summary: "Sets the last ID of a stream and its counters; made for replication.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("last-id", ArgKind::String),
        ArgDoc {
            token: "ENTRIESADDED",
            since: "7.0.0",
            optional: true,
            ..plain_arg("entries-added", ArgKind::Integer)
        },
        ArgDoc {
            token: "MAXDELETEDID",
            since: "7.0.0",
            optional: true,
            ..plain_arg("max-deleted-id", ArgKind::String)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(xsetid),
};

fn xsetid(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let last = StreamId::parse(args.slice(2), 0)?;
    let (mut added, mut max_deleted) = (None, None);
    let mut at = 3;
    while at < args.len() {
        let value = args.opt(at + 1).ok_or(Fault::Syntax)?;
        if is_word(args.slice(at), "ENTRIESADDED") {
            let number = parse_i64(value).ok_or(Fault::NotInteger)?;
            added = Some(u64::try_from(number).map_err(|_| Fault::say("ERR entries_added must be positive"))?);
        } else if is_word(args.slice(at), "MAXDELETEDID") {
            let id = StreamId::parse(value, 0)?;
            if last < id {
                return Err(Fault::say(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            max_deleted = Some(id).filter(|id| *id != StreamId::MIN);
        } else {
            return Err(Fault::Syntax);
        }
        at += 2;
    }
    let key = cx.key(args, 0);
    let set = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, _| {
        stream.log_mut().set_id(last, added, max_deleted)?;
        Ok(((), Change::Verbatim))
    })?;
    set.ok_or(Fault::NoSuchKey)?;
    cx.notify(Class::STREAM, "xsetid", key);
    out.ok();
    Ok(())
}
