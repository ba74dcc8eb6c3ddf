//! SSCAN: the members step by step.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::collection_scan::{Options, ScanOf, cursor, reply};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::element::DIGITS_MAX;

/// SSCAN.
pub static SSCAN: Spec = Spec {
    name: "sscan",
    summary: "Lists the members of a set step by step.",
    since: "2.8.0",
    complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection",
    group: Group::Set,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("cursor", ArgKind::Integer),
        ArgDoc { token: "MATCH", optional: true, ..plain_arg("pattern", ArgKind::Pattern) },
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(sscan),
};

/// A cursor is a place in the order of the members' hashes: it holds in a set that grows, shrinks or moves to another
/// node.
fn sscan(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let from = cursor(args)?;
    let (mut found, mut count) = (Out::new(out.proto()), 0);
    let Some(set) = read(cx, args)? else {
        reply(out, 0, 0, &mut found);
        return Ok(());
    };
    let options = Options::parse(args, ScanOf::Set)?;
    let (next, visited) = set.scan(from, options.count, |member| {
        if options.want_all() || options.want(member.bytes(&mut [0; DIGITS_MAX])) {
            member.write(&mut found);
            count += 1;
        }
    });
    cx.work(visited.saturating_sub(1) as u64);
    reply(out, next, count, &mut found);
    Ok(())
}
