//! HSCAN: the fields step by step.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::collection_scan::{Options, ScanOf, cursor, reply};
use crate::commands::grammar::{KEY, one_key, plain_arg, word_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::element::DIGITS_MAX;
use crate::value::item::Item;

/// HSCAN.
pub static HSCAN: Spec = Spec {
    name: "hscan",
    summary: "Lists the fields of a hash step by step.",
    since: "2.8.0",
    complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection",
    group: Group::Hash,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("cursor", ArgKind::Integer),
        ArgDoc { token: "MATCH", optional: true, ..plain_arg("pattern", ArgKind::Pattern) },
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
        ArgDoc { optional: true, ..word_arg("novalues", "NOVALUES") },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hscan),
};

/// A cursor is a place in the order of the fields' hashes: it holds in a hash that grows, shrinks or moves to another
/// node.
fn hscan(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (from, now_ms) = (cursor(args)?, cx.now_ms());
    let (mut found, mut count) = (Out::new(out.proto()), 0);
    let Some(hash) = read(cx, args)? else {
        reply(out, 0, 0, &mut found);
        return Ok(());
    };
    let options = Options::parse(args, ScanOf::Hash)?;
    let (next, visited) = hash.scan(from, options.count, now_ms, |field| {
        if !is_wanted(&options, field.name) {
            return;
        }
        field.name.write(&mut found);
        count += 1;
        if !options.names_only {
            field.value.write(&mut found);
            count += 1;
        }
    });
    cx.work(visited.saturating_sub(1) as u64);
    reply(out, next, count, &mut found);
    Ok(())
}

fn is_wanted(options: &Options<'_>, name: Item<'_>) -> bool {
    match name {
        _ if options.want_all() => true,
        Item::Short(element) => options.want(element.bytes(&mut [0; DIGITS_MAX])),
        Item::Long(segments) => options.want(&segments.to_vec()),
    }
}
