//! ZSCAN. A cursor is a place in the order of the members' hashes: it means the same on every node.

use swell_wire::{Args, Out};

use crate::commands::collection_scan::{Options, ScanOf, cursor, reply};
use crate::commands::grammar::{KEY, one_key, plain_arg, token};
use crate::double::{DOUBLE_BYTES, format_double, format_double_17};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::element::DIGITS_MAX;
use crate::value::zset::{ZSet, ZSetRef};

/// Visited in one call at most, however many are asked for.
const COUNT_MAX: usize = 100_000;

/// ZSCAN.
pub static ZSCAN: Spec = Spec {
    name: "zscan",
    summary: "Lists the members of a sorted set with their scores, step by step.",
    since: "2.8.0",
    complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("cursor", ArgKind::Integer),
        ArgDoc { optional: true, ..token("MATCH", "", "pattern", ArgKind::Pattern) },
        ArgDoc { optional: true, ..token("COUNT", "", "count", ArgKind::Integer) },
        ArgDoc { optional: true, ..token("NOSCORES", "", "noscores", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zscan),
};

fn zscan(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let cursor = cursor(args)?;
    let hasher = cx.tools().hasher;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        // What the options say is not looked at.
        reply(out, 0, 0, &mut Out::new(out.proto()));
        return Ok(());
    };
    let zset = entry.collection::<ZSet>()?;
    let options = Options::parse(args, ScanOf::ZSet)?;
    let mut found = Out::new(out.proto());
    let (mut count, mut visited) = (0, 0u64);
    let score_text = match zset {
        ZSetRef::Pack(_) => format_double,
        // Valkey's ZSCAN gives 17 digits of what it does not keep as text.
        ZSetRef::Large(_) => format_double_17,
    };
    let mut each = |member: &[u8], score: f64| {
        visited += 1;
        if !options.want(member) {
            return;
        }
        found.bulk(member);
        count += 1;
        if !options.names_only {
            // Not a double, in RESP3 neither.
            found.bulk(score_text(score, &mut [0; DOUBLE_BYTES]).as_bytes());
            count += 1;
        }
    };
    let next = match zset {
        ZSetRef::Pack(_) => {
            let mut digits = [0; DIGITS_MAX];
            zset.upwards(0).for_each(|(member, score)| each(member.bytes(&mut digits), score));
            0
        }
        ZSetRef::Large(large) => large.scan(cursor, options.count.min(COUNT_MAX), &hasher, &mut each),
    };
    reply(out, next, count, &mut found);
    cx.work(visited.saturating_sub(1));
    Ok(())
}
