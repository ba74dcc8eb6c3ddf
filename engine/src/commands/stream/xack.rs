//! XACK: entries are done with.

use swell_wire::{Args, Out};

use super::{Change, Missing, ids};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::stream::Stream;

/// XACK.
pub static XACK: Spec = Spec {
    name: "xack",
    summary: "Acknowledges entries of a consumer group, which then wait for nobody any more.",
    since: "5.0.0",
    complexity: "O(1) for each ID",
    group: Group::Stream,
    arity: -4,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("group", ArgKind::String),
        ArgDoc { multiple: true, ..plain_arg("id", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xack),
};

/// A missing key or group is told before a malformed ID.
fn xack(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let key = cx.key(args, 0);
    cx.notify_missing(key);
    let acknowledged = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, _| {
        if stream.group(args.slice(2)).is_none() {
            return Ok((0, Change::None));
        }
        let ids = ids(args, 3)?;
        let done = stream.edit_group(args.slice(2), |_, group| ids.iter().filter(|id| group.ack(**id)).count());
        let done = done.unwrap_or(0);
        Ok((done, if done > 0 { Change::Verbatim } else { Change::None }))
    })?;
    cx.work(args.len() as u64 - 4);
    out.int(acknowledged.unwrap_or(0) as i64);
    Ok(())
}
