//! XDEL: entries go by their IDs.

use swell_wire::{Args, Out};

use super::{Change, Missing, ids};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::stream::Stream;

/// XDEL.
pub static XDEL: Spec = Spec {
    name: "xdel",
    summary: "Deletes entries of a stream by their IDs.",
    since: "5.0.0",
    complexity: "O(1) for each ID",
    group: Group::Stream,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("id", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xdel),
};

/// A missing key is told before a malformed ID.
fn xdel(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let deleted = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, _| {
        let ids = ids(args, 2)?;
        let deleted = ids.iter().filter(|id| stream.log_mut().delete(**id)).count();
        Ok((deleted, if deleted > 0 { Change::Verbatim } else { Change::None }))
    })?;
    cx.work(args.len() as u64 - 3);
    let deleted = deleted.unwrap_or(0);
    if deleted > 0 {
        cx.notify(Class::STREAM, "xdel", key);
    }
    out.int(deleted as i64);
    Ok(())
}
