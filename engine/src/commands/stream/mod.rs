//! The stream family: entries under IDs that grow, and groups of consumers that read them.

mod effect;
mod heads;
mod xack;
mod xadd;
mod xautoclaim;
mod xclaim;
mod xdel;
mod xgroup;
mod xinfo;
mod xinfo_stream;
mod xlen;
mod xpending;
mod xrange;
mod xread;
mod xreadgroup;
mod xsetid;
mod xtrim;

use swell_wire::{Args, Out, OwnedArgs};

use crate::error::Fault;
use crate::exec::{Change, Missing, Tools};
use crate::spec::Spec;
use crate::value::stream::{ID_TEXT_BYTES_MAX, NodeLimits, StreamId};

/// No more of a subcommand is quoted in an error.
const QUOTED_BYTES_MAX: usize = 128;

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &xack::XACK,
    &xadd::XADD,
    &xautoclaim::XAUTOCLAIM,
    &xclaim::XCLAIM,
    &xdel::XDEL,
    &xgroup::XGROUP,
    &xgroup::CREATE,
    &xgroup::CREATECONSUMER,
    &xgroup::DELCONSUMER,
    &xgroup::DESTROY,
    &xgroup::HELP,
    &xgroup::SETID,
    &xinfo::XINFO,
    &xinfo::CONSUMERS,
    &xinfo::GROUPS,
    &xinfo::HELP,
    &xinfo_stream::STREAM,
    &xlen::XLEN,
    &xpending::XPENDING,
    &xrange::XRANGE,
    &xread::XREAD,
    &xreadgroup::XREADGROUP,
    &xrange::XREVRANGE,
    &xsetid::XSETID,
    &xtrim::XTRIM,
];

/// How much goes into a node.
fn node_limits(tools: &Tools) -> NodeLimits {
    NodeLimits { bytes: tools.limits.stream_node_bytes, entries: tools.limits.stream_node_entries as u64 }
}

/// A change that is told by its effect, if somebody follows.
fn told(tools: &Tools, effect: impl FnOnce() -> OwnedArgs) -> Change {
    if tools.followed { Change::Effect(effect()) } else { Change::Whole }
}

/// Answers an ID.
fn bulk_id(out: &mut Out, id: StreamId) {
    out.bulk(id.format(&mut [0; ID_TEXT_BYTES_MAX]));
}

/// The arguments from `from` on as IDs; all of them are read before anything is done.
fn ids(args: Args<'_>, from: usize) -> Result<Vec<StreamId>, Fault> {
    args.from(from).iter().map(|arg| StreamId::parse(arg, 0)).collect()
}

/// The key or its group is not there.
fn no_group(key: &[u8], group: &[u8], where_: &str) -> Fault {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    Fault::Other(format!("NOGROUP No such key '{key}' or consumer group '{group}'{where_}").into())
}

/// The group is not there, though the key is.
fn no_such_group(key: &[u8], group: &[u8]) -> Fault {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    Fault::Other(format!("NOGROUP No such consumer group '{group}' for key name '{key}'").into())
}

/// A subcommand, quoted as it was written, does not have this form.
fn unknown_form(subcommand: &[u8], command: &str) -> Fault {
    let quoted = String::from_utf8_lossy(&subcommand[..subcommand.len().min(QUOTED_BYTES_MAX)]);
    let text = format!("ERR unknown subcommand or wrong number of arguments for '{quoted}'. Try {command} HELP.");
    Fault::Other(text.into())
}
